"""Writes segments: rows that are only in the database, and small or wasteful segments, become one new file.

The file is written and synced first, then one transaction names it in place of those it replaces, then these are
removed. Whatever goes wrong before the transaction leaves a file that nobody names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quire.errors import CorruptIndexError
from quire.retrieval.hnsw import HNSW
from quire.retrieval.inverted_index import InvertedIndex
from quire.retrieval.store.files.segments import DENSE, WORDS, FoldPolicy, new_name, path_of
from quire.retrieval.store.state.view import empty_dense
from quire.retrieval.store.tables import rows
from quire.retrieval.store.tables.database import Database
from quire.retrieval.store.tables.rows import Connection, Keys, Segment

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Folder:
    """REQUIRES: nothing else writes meanwhile."""

    path: Path
    database: Database
    policy: FoldPolicy

    def fold_dense(self, first: int, *, trust: bool = True, advance: Advance = lambda _: None) -> None:
        """Segments of vectors from the `first` on, and all rows after them, become one.

        trust      whether segments that can be loaded may be built upon; otherwise only the database is believed.
        advance    is told how many rows were done, now and then.
        """
        with self.database.reading() as connection:
            manifest = rows.segments(connection, DENSE)
            begin = manifest[first].first if first < len(manifest) else _end(manifest) + 1
            last = rows.last_chunk_key(connection)
            index = self._merged(connection, manifest[first:] if trust else [], begin, last, advance)
            version = rows.state(connection).version
        fresh = None
        if index is not None and len(index):
            num_rows = len(index) + index.stats().num_deleted
            fresh = Segment(new_name(DENSE), DENSE, begin, last, version, num_rows)
            index.save(path_of(self.path, fresh))
        self._name_instead(fresh, manifest[first:])

    def write_words(self, words: InvertedIndex, version: int, last_key: int) -> None:
        """`words` holds all chunks up to `last_key` at `version`."""
        with self.database.reading() as connection:
            manifest = rows.segments(connection, WORDS)
        fresh = None
        if len(words):
            fresh = Segment(new_name(WORDS), WORDS, 1, last_key, version, len(words))
            words.save(path_of(self.path, fresh))
        self._name_instead(fresh, manifest)

    def _merged(
        self, connection: Connection, parts: Sequence[Segment], first: int, last: int, advance: Advance
    ) -> HNSW | None:
        dim = rows.settings(connection).get("dim")
        if dim is None:
            return None
        live = rows.chunk_keys(connection, first, last)
        index = self._largest(parts) or empty_dense(dim)
        there = index.ids()
        index.delete(np.setdiff1d(there, live))
        advance(len(np.intersect1d(there, live)))
        _add(connection, index, np.setdiff1d(live, there), advance)
        stats = index.stats()
        if stats.num_deleted > self.policy.max_dead_share / 2 * (stats.num_vectors + stats.num_deleted):
            index.compact()
        return index

    def _largest(self, parts: Sequence[Segment]) -> HNSW | None:
        for segment in sorted(parts, key=lambda segment: -segment.num_rows):
            try:
                HNSW.verify(path_of(self.path, segment))
                return HNSW.load(path_of(self.path, segment))
            except (CorruptIndexError, OSError):
                continue
        return None

    def _name_instead(self, fresh: Segment | None, old: Sequence[Segment]) -> None:
        try:
            self._replace(old, fresh)
        except BaseException:
            if fresh is not None:  # a disk that is full must not fill further with each attempt
                path_of(self.path, fresh).unlink(missing_ok=True)
            raise
        for segment in old:
            path_of(self.path, segment).unlink(missing_ok=True)

    def _replace(self, old: Sequence[Segment], fresh: Segment | None) -> None:
        with self.database.writing() as connection:
            connection.executemany("DELETE FROM segments WHERE name = ?", [(segment.name,) for segment in old])
            if fresh is not None:
                values = (fresh.name, fresh.kind, fresh.first, fresh.last, fresh.version, fresh.num_rows)
                connection.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?)", values)
            _forget_tombstones(connection)


def _add(connection: Connection, index: HNSW, keys: Keys, advance: Advance) -> None:
    for found, vectors in rows.vectors(connection, keys):
        index.add(vectors, found)
        advance(len(found))


def _forget_tombstones(connection: Connection) -> None:
    """Those that every segment was written after. A reader that has not seen them begins anew."""
    query = "SELECT COALESCE(MIN(version), (SELECT version FROM state)) FROM segments"
    (horizon,) = connection.execute(query).fetchone()
    connection.execute("DELETE FROM removed WHERE version <= ?", (horizon,))
    connection.execute("UPDATE state SET horizon = ?", (horizon,))


def _end(manifest: Sequence[Segment]) -> int:
    return manifest[-1].last if manifest else 0
