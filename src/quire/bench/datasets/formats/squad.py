"""Paragraphs with questions, as JSON: a list of {`title`, `text`, `qas` [{`question`}, …]}. Each question's one good
document is its paragraph. The whole is read at once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document, Question
from quire.errors import ConfigError


def documents(path: Path) -> Iterator[Document]:
    for key, entry in enumerate(_read(path)):
        yield Document(str(key), entry["text"])


def questions(path: Path) -> Iterator[Question]:
    for key, entry in enumerate(_read(path)):
        for number, asked in enumerate(entry["qas"]):
            yield Question(f"{key}-{number}", asked["question"], {str(key): 1.0})


def is_one(path: Path) -> bool:
    with files.opened(path) as file:
        return file.read(64).lstrip().startswith(b"[")


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        with files.opened(path) as file:
            found = json.load(file)
    except ValueError as error:
        raise ConfigError(f"{path}: no JSON: {error}") from error
    is_known = isinstance(found, list) and all(isinstance(e, dict) and {"text", "qas"} <= e.keys() for e in found)
    if not is_known:
        raise ConfigError(f"{path} is no JSON list of paragraphs with text and qas.")
    return list(found)
