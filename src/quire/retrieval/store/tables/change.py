"""One change of what a collection holds, written to the tables inside one transaction.

Knows nothing of the indexes: those follow from the rows (view.py). After it, the version is one higher.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from quire.errors import CorruptIndexError
from quire.retrieval.embedding import Chunk, Vectors
from quire.retrieval.store.tables.fields import flattened
from quire.retrieval.store.tables.rows import Connection, chunk_checksum, metadata_of, vector_checksum

FORGOTTEN = "forgotten "
"""Before the origin of a document whose chunks and vectors are to be made again."""


@dataclass(frozen=True, slots=True)
class DocumentChange:
    """A document as it shall be. Whatever chunks it has and that are not `kept` go."""

    id: str
    text: str
    kind: str
    metadata: str
    digest: bytes
    origin: str
    """What the chunks and vectors were made by."""
    kept: tuple[tuple[int, Chunk], ...]
    """Chunks that stay, by key, with the place they have now."""
    added: tuple[Chunk, ...]
    vectors: Sequence[Vectors] | None
    """Of the added chunks, one by one."""


@dataclass(frozen=True, slots=True)
class Change:
    documents: Sequence[DocumentChange] = ()
    deleted_keys: Sequence[int] = ()
    """Of documents."""
    settings: dict[str, object] = field(default_factory=dict)
    """To be written along, those that are found out by the first documents."""


def apply(connection: Connection, change: Change) -> None:
    connection.execute("UPDATE state SET version = version + 1")
    (version,) = connection.execute("SELECT version FROM state").fetchone()
    for name, value in change.settings.items():
        connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))
    for document in change.documents:
        _put(connection, document, version)
    for key in change.deleted_keys:
        _drop_fields(connection, key)
        _drop_chunks(connection, key, set(), version)
        connection.execute("DELETE FROM documents WHERE key = ?", (key,))


def forget(connection: Connection, document_ids: Sequence[str]) -> None:
    """Nothing of these documents is trusted any more but what was given: their next update makes it all again."""
    connection.executemany(
        "UPDATE documents SET origin = ? || origin WHERE id = ? AND origin NOT LIKE ?",
        [(FORGOTTEN, document_id, f"{FORGOTTEN}%") for document_id in document_ids],
    )


def remake_lookups(connection: Connection) -> None:
    """What filters and joins look up, made again from the documents."""
    connection.execute("UPDATE state SET version = version + 1")
    connection.execute("REINDEX")
    connection.execute("DELETE FROM fields")
    for key, document_id, metadata in connection.execute("SELECT key, id, metadata FROM documents"):
        with suppress(CorruptIndexError):
            _add_fields(connection, key, metadata_of(document_id, metadata))


def _put(connection: Connection, document: DocumentChange, version: int) -> None:
    values = (document.digest, document.origin, document.kind, document.metadata, document.text)
    found = connection.execute("SELECT key FROM documents WHERE id = ?", (document.id,)).fetchone()
    if found is None:
        key = connection.execute(
            "INSERT INTO documents (id, digest, origin, kind, metadata, text) VALUES (?, ?, ?, ?, ?, ?)",
            (document.id, *values),
        ).lastrowid
        assert key is not None
    else:
        (key,) = found
        _drop_fields(connection, key)
        _drop_chunks(connection, key, {kept for kept, _ in document.kept}, version)
        connection.execute(
            "UPDATE documents SET digest = ?, origin = ?, kind = ?, metadata = ?, text = ? WHERE key = ?",
            (*values, key),
        )
    _add_fields(connection, key, metadata_of(document.id, document.metadata))
    _keep_chunks(connection, document)
    _add_chunks(connection, document, key)


def _add_fields(connection: Connection, key: int, metadata: dict[str, Any]) -> None:
    rows = [(*row, key) for row in flattened(metadata)]
    connection.executemany("INSERT INTO fields VALUES (?, ?, ?, ?)", rows)


def _drop_fields(connection: Connection, key: int) -> None:
    row = connection.execute("SELECT id, metadata FROM documents WHERE key = ?", (key,)).fetchone()
    try:
        fields = [(*field, key) for field in flattened(metadata_of(*row))]
    except CorruptIndexError:  # what they are is not known any more: all rows are looked through
        connection.execute("DELETE FROM fields WHERE document = ?", (key,))
    else:
        connection.executemany("DELETE FROM fields WHERE field = ? AND kind = ? AND value = ? AND document = ?", fields)


def _drop_chunks(connection: Connection, document_key: int, kept: set[int], version: int) -> None:
    found = connection.execute("SELECT key FROM chunks WHERE document = ?", (document_key,)).fetchall()
    gone = [row for row in found if row[0] not in kept]
    connection.executemany("INSERT INTO removed VALUES (?, ?)", [(*row, version) for row in gone])
    connection.executemany("DELETE FROM vectors WHERE chunk = ?", gone)
    connection.executemany("DELETE FROM chunks WHERE key = ?", gone)


def _keep_chunks(connection: Connection, document: DocumentChange) -> None:
    connection.executemany(
        "UPDATE chunks SET begins = ?, ends = ?, checksum = ?, heading = ?, text = ? WHERE key = ?",
        [(*_place(chunk, document), key) for key, chunk in document.kept],
    )


def _add_chunks(connection: Connection, document: DocumentChange, document_key: int) -> None:
    insert = "INSERT INTO chunks (document, id, begins, ends, checksum, heading, text) VALUES (?, ?, ?, ?, ?, ?, ?)"
    for number, chunk in enumerate(document.added):
        key = connection.execute(insert, (document_key, chunk.id, *_place(chunk, document))).lastrowid
        if document.vectors is not None:
            vector = document.vectors[number].astype("<f4").tobytes()
            connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (key, vector_checksum(vector), vector))


def _place(chunk: Chunk, document: DocumentChange) -> tuple[int, int, int, str | None, str | None]:
    text = None if chunk.text == document.text else chunk.text
    return chunk.start, chunk.end, chunk_checksum(chunk), chunk.heading, text
