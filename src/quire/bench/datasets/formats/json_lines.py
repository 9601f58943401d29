"""Plain JSON lines: an object each, with a text, and an id and a title where it has them. Without an id the number
of the line stands for it."""

from collections.abc import Iterator
from pathlib import Path

from quire.bench.datasets import files
from quire.bench.datasets.documents import Document
from quire.errors import ConfigError

IN_FOLDER = "passages.jsonl"
IDS = ("id", "_id", "doc_id", "docid")
TEXTS = ("text", "contents", "content", "passage", "body")


def documents(path: Path) -> Iterator[Document]:
    found = files.find(path, IN_FOLDER) if path.is_dir() else path
    if found is None:
        raise ConfigError(f"{path} has no {IN_FOLDER}.")
    for number, entry in files.json_objects(found):
        key = files.text_of(entry, IDS, found, number) if any(name in entry for name in IDS) else str(number)
        yield Document(key, files.text_of(entry, TEXTS, found, number), str(entry.get("title") or ""))
