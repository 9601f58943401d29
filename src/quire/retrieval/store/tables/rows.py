"""What lies in the tables, as values: documents, chunks, vectors, tombstones, and the manifest of segments.

Keys of documents and chunks are whole numbers that are never given twice, so a larger key is a later row. A chunk never
changes what it says: a changed passage is a new chunk, and the old one leaves a tombstone with the version that took it
out. Tombstones at or below the horizon are gone. The text of a chunk that is its whole document is not stored twice.
"""

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from quire.errors import CorruptIndexError
from quire.retrieval.embedding import Chunk, Vectors

Connection = sqlite3.Connection
Keys = npt.NDArray[np.int64]

SLICE = 512
"""Rows asked for or fetched at a time; below the number of parameters that SQLite takes."""


@dataclass(frozen=True, slots=True)
class State:
    version: int
    """Grows with every change of what the collection holds."""
    horizon: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A file that indexes the chunks with keys in [first, last], as they were at `version`."""

    name: str
    kind: str
    first: int
    last: int
    version: int
    num_rows: int
    """Rows in the file."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    key: int
    id: str
    text: str
    metadata: str
    kind: str
    digest: bytes
    origin: str

    @property
    def is_whole(self) -> bool:
        """Whether it is what was added."""
        return document_digest(self.text, self.kind, self.metadata) == self.digest


@dataclass(frozen=True, slots=True)
class StoredChunk:
    key: int
    document_id: str
    metadata: dict[str, Any]
    chunk: Chunk


def state(connection: Connection) -> State:
    row = connection.execute("SELECT version, horizon FROM state").fetchone()
    if row is None:
        raise CorruptIndexError("The collection does not say its version any more; restore a snapshot of it")
    return State(*row)


def settings(connection: Connection) -> dict[str, Any]:
    found = connection.execute("SELECT name, value FROM settings")
    try:
        return {name: json.loads(value) for name, value in found}
    except (ValueError, TypeError) as error:
        raise CorruptIndexError("The settings of the collection are damaged; restore a snapshot of it") from error


def metadata_of(document_id: str, metadata: str) -> dict[str, Any]:
    """As it was added. Raises CorruptIndexError where that cannot be read any more."""
    try:
        found = json.loads(metadata)
    except (ValueError, TypeError):
        found = None
    if not isinstance(found, dict):
        raise CorruptIndexError(
            f"The metadata of document {document_id!r} is damaged; update it, or restore a snapshot"
        )
    return found


def set_setting(connection: Connection, name: str, value: object) -> None:
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))


def segments(connection: Connection, kind: str) -> list[Segment]:
    """In the order of the keys they hold."""
    found = connection.execute(
        "SELECT name, kind, first, last, version, num_rows FROM segments WHERE kind = ?", (kind,)
    )
    return sorted((Segment(*row) for row in found), key=lambda segment: segment.first)


def removed_since(connection: Connection, version: int) -> Keys:
    return _keys(connection.execute("SELECT chunk FROM removed WHERE version > ?", (version,)))


def known(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[int, bytes, str]]:
    """Key, digest and origin of those documents that are there, by id."""
    return {
        row[0]: row[1:]
        for part in _slices(ids)
        for row in connection.execute(
            f"SELECT id, key, digest, origin FROM documents WHERE id IN ({_marks(part)})", part
        )
    }


def document(connection: Connection, document_id: str) -> StoredDocument | None:
    row = connection.execute(
        "SELECT key, id, text, metadata, kind, digest, origin FROM documents WHERE id = ?", (document_id,)
    ).fetchone()
    return None if row is None else StoredDocument(*row)


def document_ids(connection: Connection) -> list[str]:
    """In the order in which they came."""
    return [row[0] for row in connection.execute("SELECT id FROM documents ORDER BY key")]


def documents_after(connection: Connection, key: int, limit: int) -> list[tuple[int, str, str, str, int]]:
    """Key, id, kind, metadata and length of those with larger keys, in the order in which they came."""
    asked = "SELECT key, id, kind, metadata, LENGTH(text) FROM documents WHERE key > ? ORDER BY key LIMIT ?"
    return list(connection.execute(asked, (key, limit)))


def count(connection: Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    return found


_CHUNK = """
SELECT c.key, d.id, d.metadata, c.id, COALESCE(c.text, d.text), c.begins, c.ends, c.heading
FROM chunks c JOIN documents d ON d.key = c.document
"""


def chunks(connection: Connection, keys: Sequence[int]) -> dict[int, StoredChunk]:
    """Those of the chunks that are there, by key."""
    return {
        row[0]: _as_chunk(row)
        for part in _slices(keys)
        for row in connection.execute(f"{_CHUNK} WHERE c.key IN ({_marks(part)})", part)
    }


def chunks_of(connection: Connection, document_key: int) -> list[tuple[int, Chunk]]:
    """Its chunks with their keys; also where the document's metadata cannot be read any more."""
    query = """SELECT c.key, c.id, COALESCE(c.text, d.text), c.begins, c.ends, c.heading
               FROM chunks c JOIN documents d ON d.key = c.document WHERE d.key = ? ORDER BY c.key"""
    return [(key, Chunk(*content)) for key, *content in connection.execute(query, (document_key,))]


def _as_chunk(row: Sequence[Any]) -> StoredChunk:
    key, document_id, metadata, chunk_id, text, begins, ends, heading = row
    return StoredChunk(
        key, document_id, metadata_of(document_id, metadata), Chunk(chunk_id, text, begins, ends, heading)
    )


def indexed_text(heading: str | None, text: str) -> str:
    """What is searched and embedded of a chunk: a passage often does not repeat the word it stands under."""
    return f"{heading}\n{text}" if heading else text


def indexed_texts(connection: Connection, first: int, last: int) -> Iterator[tuple[list[int], list[str]]]:
    """Keys of the chunks in [first, last] with what is indexed of them, some hundreds at a time."""
    query = """SELECT c.key, c.heading, COALESCE(c.text, d.text) FROM chunks c JOIN documents d ON d.key = c.document
               WHERE c.key BETWEEN ? AND ? ORDER BY c.key"""
    cursor = connection.execute(query, (first, last))
    while found := cursor.fetchmany(SLICE):
        yield [row[0] for row in found], [indexed_text(row[1], row[2]) for row in found]


def chunk_keys(connection: Connection, first: int, last: int) -> Keys:
    """Of the chunks in [first, last], in their order."""
    return _keys(connection.execute("SELECT key FROM chunks WHERE key BETWEEN ? AND ? ORDER BY key", (first, last)))


def last_chunk_key(connection: Connection) -> int:
    found: int = connection.execute("SELECT COALESCE(MAX(key), 0) FROM chunks").fetchone()[0]
    return found


def vectors(connection: Connection, keys: Keys) -> Iterator[tuple[Keys, Vectors]]:
    """Keys and vectors of those chunks whose vector is there and whole, some hundreds at a time."""
    for part in _slices(keys.tolist()):
        query = f"SELECT chunk, vector, checksum FROM vectors WHERE chunk IN ({_marks(part)}) ORDER BY chunk"
        found = [row for row in connection.execute(query, part) if vector_checksum(row[1]) == row[2]]
        if found:
            array = np.frombuffer(b"".join(row[1] for row in found), dtype="<f4").reshape(len(found), -1)
            yield _keys(found), array


def document_digest(text: str, kind: str, metadata: str) -> bytes:
    return hashlib.sha256(_as_bytes(text, kind, metadata)).digest()


def vector_checksum(vector: bytes) -> int:
    return zlib.crc32(vector)


def chunk_checksum(chunk: Chunk) -> int:
    return zlib.crc32(_as_bytes(chunk.id, chunk.text, chunk.start, chunk.end, chunk.heading))


def _as_bytes(*columns: object) -> bytes:
    """Of damaged rows too, whose columns may be of another kind than they should."""
    return json.dumps(columns, default=repr).encode()


def _keys(found: Iterable[Sequence[Any]]) -> Keys:
    return np.fromiter((row[0] for row in found), dtype=np.int64)


def _marks(part: Sequence[object]) -> str:
    return ",".join("?" * len(part))


def _slices(items: Sequence[Any]) -> Iterator[list[Any]]:
    for begin in range(0, len(items), SLICE):
        yield list(items[begin : begin + SLICE])
