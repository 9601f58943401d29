"""One JSON object: `docs` [[id, text], …], `queries` {id: text} and `qrels` {query: {document: grade}}.

Small collections (Cranfield, CISI and others) come so. The whole is read at once.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document, Question
from quire.errors import ConfigError


def documents(path: Path) -> Iterator[Document]:
    for key, text in _read(path)["docs"]:
        yield Document(str(key), text)


def questions(path: Path) -> Iterator[Question]:
    found = _read(path)
    for key, grades in found["qrels"].items():
        if good := {document: float(grade) for document, grade in grades.items() if grade > 0}:
            yield Question(key, found["queries"][key], good)


def _read(path: Path) -> dict[str, Any]:
    try:
        with files.opened(path) as file:
            found = json.load(file)
    except ValueError as error:
        raise ConfigError(f"{path}: no JSON: {error}") from error
    if not isinstance(found, dict) or not {"docs", "queries", "qrels"} <= found.keys():
        raise ConfigError(f"{path} is no JSON object with docs, queries and qrels.")
    return found
