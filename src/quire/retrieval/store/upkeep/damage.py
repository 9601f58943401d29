"""Is everything on the disk as it was written? Reads all of it, which at a gigabyte takes some seconds.

Rows carry the checksum of what they say, segments that of each table; what can be derived is derived and compared.
Finds, changes nothing; who rebuilds knows from `Damage` what is to be made again.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from quire.errors import CorruptIndexError
from quire.retrieval.embedding import Chunk
from quire.retrieval.hnsw import HNSW
from quire.retrieval.inverted_index import InvertedIndex
from quire.retrieval.store.files.segments import DENSE, KINDS, path_of
from quire.retrieval.store.state.reading import Reading
from quire.retrieval.store.tables import rows
from quire.retrieval.store.tables.change import FORGOTTEN
from quire.retrieval.store.tables.database import Database
from quire.retrieval.store.tables.fields import Row, flattened
from quire.retrieval.store.tables.rows import Connection, Segment, chunk_checksum, document_digest, vector_checksum

What: TypeAlias = Literal["database", "fields", "segment", "index", "document", "chunk", "vector"]
Advance: TypeAlias = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Damage:
    what: What
    name: str
    """Of the segment, or the id of the document; empty for the whole database."""
    why: str

    def __str__(self) -> str:
        return f"{self.what} {self.name}: {self.why}" if self.name else f"{self.what}: {self.why}"


def find_damage(database: Database, folder: Path, is_named: Callable[[str], bool], advance: Advance) -> list[Damage]:
    """All there is on the disk, in order of weight.

    is_named     says whether the newest manifest names a segment; one that it does not may be gone.
    advance      is told how many chunks were looked at, now and then.
    """
    with database.reading() as connection:
        return [
            *(Damage("database", "", why) for why in database.check()),
            *_in_documents(connection),
            *_in_chunks(connection, advance),
            *_in_vectors(connection),
            *_in_fields(connection),
            *(damage for damage in _in_segments(connection, folder) if is_named(damage.name)),
        ]


def damaged_documents(connection: Connection) -> list[Damage]:
    """Only what concerns the content of documents, their chunks and their vectors."""
    return [*_in_documents(connection), *_in_chunks(connection, lambda _: None), *_in_vectors(connection)]


def _field_rows(connection: Connection) -> Iterator[tuple[Row, int]]:
    """Of all metadata that can be read; the rest is told by the digests of documents."""
    for key, document_id, metadata in connection.execute("SELECT key, id, metadata FROM documents"):
        with suppress(CorruptIndexError):
            yield from ((row, key) for row in flattened(rows.metadata_of(document_id, metadata)))


def _in_documents(connection: Connection) -> Iterator[Damage]:
    for document_id, digest, origin, *content in connection.execute(
        "SELECT id, digest, origin, text, kind, metadata FROM documents"
    ):
        if document_digest(*content) != digest:
            yield Damage("document", document_id, "it is not what was added; update it, or restore a snapshot")
        elif origin.startswith(FORGOTTEN):
            yield Damage("document", document_id, "its passages are to be made again; update it, or rebuild")


def _in_chunks(connection: Connection, advance: Advance) -> Iterator[Damage]:
    query = """SELECT d.id, c.checksum, c.id, COALESCE(c.text, d.text), c.begins, c.ends, c.heading
               FROM chunks c LEFT JOIN documents d ON d.key = c.document"""
    for number, (document_id, checksum, *content) in enumerate(connection.execute(query), 1):
        if number % rows.SLICE == 0:
            advance(rows.SLICE)
        if document_id is None:
            yield Damage("database", "", f"the passage {content[0]} belongs to no document")
        elif chunk_checksum(Chunk(*content)) != checksum:
            yield Damage("chunk", document_id, f"its passage {content[0]} is not what was written; rebuild")


def _in_vectors(connection: Connection) -> Iterator[Damage]:
    dim = rows.settings(connection).get("dim")
    if dim is None:
        return
    query = """SELECT d.id, v.checksum, v.vector FROM chunks c JOIN documents d ON d.key = c.document
               LEFT JOIN vectors v ON v.chunk = c.key"""
    for document_id, checksum, vector in connection.execute(query):
        if vector is None or vector_checksum(vector) != checksum or len(vector) != 4 * dim:
            yield Damage("vector", document_id, "a vector of it is not what was written; rebuild")


def _in_fields(connection: Connection) -> Iterator[Damage]:
    expected = Counter(map(hash, _field_rows(connection)))
    expected.subtract(hash((row[:3], row[3])) for row in connection.execute("SELECT * FROM fields"))
    if any(expected.values()):
        yield Damage("fields", "", "filters do not know what the metadata says; rebuild")


def _in_segments(connection: Connection, folder: Path) -> Iterator[Damage]:
    for segment in (segment for kind in KINDS for segment in rows.segments(connection, kind)):
        try:
            _verify(folder, segment)
        except (CorruptIndexError, OSError) as error:
            yield Damage("segment", segment.name, str(error))


def _verify(folder: Path, segment: Segment) -> None:
    kind = HNSW if segment.kind == DENSE else InvertedIndex
    kind.verify(path_of(folder, segment))


def in_indexes(reading: Reading) -> Iterator[Damage]:
    """Where the indexes in memory do not hold what the rows of the same state say."""
    chunks = rows.chunk_keys(reading.connection, 1, reading.view.last_key)
    dense, words = reading.view.keys()
    if not np.array_equal(words, chunks):
        yield Damage("index", "words", "it does not hold what the documents say; rebuild")
    if rows.settings(reading.connection).get("dim") is not None and not np.array_equal(dense, chunks):
        yield Damage("index", "dense", "it does not hold what the documents say; rebuild")
