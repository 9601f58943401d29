"""The indexes of a collection in memory, at one version: segments mapped, and above them what the rows say since.

`refresh` brings them to the version that a connection sees, by adding and deleting what changed. Reader and writer do
the same: what is in memory always follows from the rows and never the other way round. A segment that is missing or
damaged is left out and its rows are indexed in memory; `damaged` has its name.

Linking vectors is most of a refresh, so a writer has it done before, by `prepare`: searches that run beside it do not
see these rows until the refresh that brings them.

    keys    1 … last_key │ last_key + 1 … prepared_key
            found        │ linked, hidden

Threads: searches may run together, and beside `prepare`; the others alone.
"""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quire.errors import ConfigError, CorruptIndexError
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.embedding import Vectors
from quire.retrieval.hnsw import HNSW
from quire.retrieval.inverted_index import InvertedIndex
from quire.retrieval.store.files.segments import DENSE, WORDS, path_of
from quire.retrieval.store.tables import rows
from quire.retrieval.store.tables.rows import Connection, Keys, Segment

log = logging.getLogger(__name__)

Ranking = list[tuple[int, float]]
"""Keys of chunks with their scores, best first."""
Bitmap = npt.NDArray[np.bool_]


class MovedOnError(Exception):
    """What a view would need to follow is not there any more; a new view can be made."""


def empty_dense(dim: int) -> HNSW:
    """Walks read eight bits of a number; distances are those of the float32 vectors."""
    return HNSW(dim, "cosine", dtype="int8")


class View:
    def __init__(self, folder: Path, analyzer: Analyzer, is_named: Callable[[str], bool]) -> None:
        """`is_named` says whether the newest manifest names a segment."""
        self._folder = folder
        self._analyzer = analyzer
        self._is_named = is_named
        self.version = self.last_key = 0
        self.damaged: set[str] = set()
        self._dense: dict[str, HNSW | None] = {}
        self._recent: HNSW | None = None
        self._prepared_key = 0
        self._shown: Bitmap | None = None
        """By key, whether a row may be found, while there are rows that may not; None while there are none."""
        self.words = InvertedIndex(analyzer=analyzer)

    def refresh(self, connection: Connection) -> None:
        """Raises MovedOnError, but nothing for damaged segments. After any error the view is good for nothing."""
        state = rows.state(connection)
        if 0 < self.version < state.horizon:
            raise MovedOnError
        removed = rows.removed_since(connection, self.version)
        last_key = rows.last_chunk_key(connection)
        self._refresh_dense(connection, removed, last_key)
        self._refresh_words(connection, removed, last_key)
        self.version, self.last_key = state.version, last_key
        self._prepared_key, self._shown = 0, None

    def hide_new(self) -> None:
        """Goes before `prepare`."""
        self._shown = np.ones(self.last_key + 1, dtype=np.bool_)

    def prepare(self, connection: Connection) -> None:
        """Links the new rows that `connection` sees. REQUIRES: it saw this version before they came."""
        if self._recent is None:
            return
        self._prepared_key = rows.last_chunk_key(connection)
        add_vectors(connection, self._recent, rows.chunk_keys(connection, self.last_key + 1, self._prepared_key))

    def drop_prepared(self) -> None:
        """The new rows will not come."""
        if self._recent is not None:
            keys = self._recent.ids()
            _discard(self._recent, keys[keys > self.last_key])
        self._prepared_key, self._shown = 0, None

    def nearest(self, vector: Vectors, k: int, allowed: Bitmap | None) -> Ranking:
        """By cosine similarity."""
        passing = self._shown if allowed is None else allowed
        found = [index.search(vector, k, filter=passing, num_threads=1) for index in self._indexes() if len(index)]
        if not found:
            return []
        keys = np.concatenate([ids for ids, _ in found])
        distances = np.concatenate([distance for _, distance in found])
        best = np.argsort(distances, kind="stable")[:k]
        return list(zip(keys[best].tolist(), (1.0 - distances[best]).tolist(), strict=True))

    def saying(self, query: str, k: int, allowed: Bitmap | None) -> Ranking:
        """By BM25."""
        keys, scores = self.words.search(query, k, filter=allowed)
        return list(zip(keys.tolist(), scores.tolist(), strict=True))

    @property
    def num_new_dense(self) -> int:
        """Rows that no segment of vectors holds."""
        return 0 if self._recent is None else len(self._recent)

    @property
    def dense_sizes(self) -> dict[str, int]:
        """Rows that can be found in each segment of vectors, in the order of the manifest; 0 in a damaged one."""
        return {name: 0 if index is None else len(index) for name, index in self._dense.items()}

    def check_invariants(self) -> None:
        for index in self._indexes():
            index.check_invariants()
        self.words.check_invariants()

    def keys(self) -> tuple[Keys, Keys]:
        """Of the chunks that can be found by vector, and by words; in order."""
        dense = np.sort(np.concatenate([*(index.ids() for index in self._indexes()), np.empty(0, np.int64)]))
        return dense[dense <= self.last_key], np.sort(self.words.ids())

    def _indexes(self) -> Iterator[HNSW]:
        yield from (index for index in (*self._dense.values(), self._recent) if index is not None)

    def _refresh_dense(self, connection: Connection, removed: Keys, last_key: int) -> None:
        dim = rows.settings(connection).get("dim")
        if dim is None:
            return
        for index in self._indexes():
            _discard(index, removed)
        manifest = rows.segments(connection, DENSE)
        gaps = [(max(self.last_key, self._prepared_key) + 1, last_key)]
        if self._recent is None or [segment.name for segment in manifest] != list(self._dense):
            self._dense = {segment.name: self._dense_of(connection, segment) for segment in manifest}
            self._recent = empty_dense(dim)
            gaps = list(_gaps([segment for segment in manifest if self._dense[segment.name] is not None], last_key))
        for first, last in gaps:
            add_vectors(connection, self._recent, rows.chunk_keys(connection, first, last))

    def _dense_of(self, connection: Connection, segment: Segment) -> HNSW | None:
        if (known := self._dense.get(segment.name)) is not None:
            return known
        try:
            index = HNSW.load(path_of(self._folder, segment))
        except (CorruptIndexError, OSError) as error:
            self._report(segment, error)
            return None
        _discard(index, rows.removed_since(connection, segment.version))
        return index

    def _refresh_words(self, connection: Connection, removed: Keys, last_key: int) -> None:
        first = self.last_key + 1
        if self.version == 0:
            for segment in rows.segments(connection, WORDS):
                if self._load_words(connection, segment):
                    first = segment.last + 1
        else:
            _discard(self.words, removed)
        for keys, texts in rows.indexed_texts(connection, first, last_key):
            self.words.add(keys, texts)

    def _load_words(self, connection: Connection, segment: Segment) -> bool:
        try:
            self.words = InvertedIndex.load(path_of(self._folder, segment), analyzer=self._analyzer)
        except (CorruptIndexError, ConfigError, OSError) as error:
            self._report(segment, error)
            return False
        _discard(self.words, rows.removed_since(connection, segment.version))
        return True

    def _report(self, segment: Segment, error: Exception) -> None:
        if not self._is_named(segment.name):
            raise MovedOnError from error
        self.damaged.add(segment.name)
        log.warning(
            "a segment cannot be used and is made anew; a read-only collection does so in memory, each time",
            extra={"segment": str(path_of(self._folder, segment)), "error": str(error)},
        )


def add_vectors(connection: Connection, index: HNSW, keys: Keys) -> None:
    """Those that are whole; others can be found again after `rebuild`."""
    for found, vectors in rows.vectors(connection, keys):
        index.add(vectors, found)


def _discard(index: HNSW | InvertedIndex, keys: Keys) -> None:
    gone = [key for key in keys.tolist() if key in index]
    if gone:
        index.delete(gone)


def _gaps(segments: list[Segment], last_key: int) -> Iterator[tuple[int, int]]:
    """What no segment holds, up to last_key."""
    first = 1
    for segment in segments:
        if first < segment.first:
            yield first, segment.first - 1
        first = segment.last + 1
    if first <= last_key:
        yield first, last_key
