"""What can be asked of one state of a collection: rankings from the indexes, rows from the database, the same version.

Keys of chunks are known here and below only; they mean nothing once the reading has ended.
"""

from collections.abc import Sequence
from threading import Lock

import numpy as np

from quire.errors import CorruptIndexError
from quire.retrieval.embedding import Vectors
from quire.retrieval.store.state.view import Ranking, View
from quire.retrieval.store.tables import rows
from quire.retrieval.store.tables.filters import Among, Bitmap, Filter, Leaf, passing
from quire.retrieval.store.tables.rows import Connection, StoredChunk, StoredDocument

MAX_KEPT_BITMAPS = 64


class Reading:
    def __init__(self, connection: Connection, view: View, lookups: "Lookups") -> None:
        self.connection = connection
        self.view = view
        self._lookups = lookups

    @property
    def version(self) -> int:
        return self.view.version

    def allowed(self, tree: Filter | None) -> Bitmap | None:
        """Which chunks pass, by key; None for all of them."""
        return None if tree is None else self._lookups.chunks_passing(self.connection, tree, self.view)

    def dense(self, vector: Vectors, k: int, allowed: Bitmap | None = None) -> Ranking:
        return self.view.nearest(vector, k, allowed)

    def lexical(self, query: str, k: int, allowed: Bitmap | None = None) -> Ranking:
        return self.view.saying(query, k, allowed)

    def chunks(self, keys: Sequence[int]) -> dict[int, StoredChunk]:
        """Raises CorruptIndexError where one of them is in an index only."""
        found = rows.chunks(self.connection, keys)
        if len(found) < len(keys):
            raise CorruptIndexError("The indexes name passages that no document has; rebuild the collection")
        return found

    def check_invariants(self) -> None:
        """Raises AssertionError where the indexes do not hold exactly the chunks that there are."""
        self.view.check_invariants()
        dense, words = self.view.keys()
        chunks = rows.chunk_keys(self.connection, 1, self.view.last_key)
        assert np.array_equal(words, chunks), "the words are not those of the chunks"
        if rows.settings(self.connection).get("dim") is not None:
            assert np.array_equal(dense, chunks), "the vectors are not those of the chunks"

    def document(self, document_id: str) -> StoredDocument | None:
        return rows.document(self.connection, document_id)


class Lookups:
    """Answers of filters, kept as long as the version lasts; and whose chunk is whose, which never changes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._version = 0
        self._bitmaps: dict[Leaf, Bitmap] = {}
        self._owners = np.zeros(1, dtype=np.int64)
        """[key of a chunk] is the key of its document."""

    def chunks_passing(self, connection: Connection, tree: Filter, view: View) -> Bitmap:
        with self._lock:
            if self._version != view.version:
                self._version, self._bitmaps = view.version, {}
            self._learn_owners(connection, view.last_key)
            num_documents = int(self._owners.max()) + 1
            found = passing(tree, lambda leaf: self._documents_with(connection, leaf, num_documents))
            allowed: Bitmap = found[self._owners[: view.last_key + 1]]
            return allowed

    def _learn_owners(self, connection: Connection, last_key: int) -> None:
        """Chunks that are gone stay with document 0, which there is not."""
        num_known = len(self._owners)
        if last_key < num_known:
            return
        query = "SELECT key, document FROM chunks INDEXED BY chunks_by_document WHERE key >= ?"
        found = np.array(connection.execute(query, (num_known,)).fetchall(), dtype=np.int64).reshape(-1, 2)
        self._owners = np.concatenate([self._owners, np.zeros(last_key + 1 - num_known, dtype=np.int64)])
        self._owners[found[:, 0]] = found[:, 1]

    def _documents_with(self, connection: Connection, leaf: Leaf, num_documents: int) -> Bitmap:
        kept = self._bitmaps.get(leaf)
        if kept is not None and len(kept) == num_documents:
            return kept
        bitmap = np.zeros(num_documents, dtype=np.bool_)
        for query, values in _queries(leaf):
            found = np.fromiter((row[0] for row in connection.execute(query, values)), dtype=np.int64)
            bitmap[found[found < num_documents]] = True
        while len(self._bitmaps) >= MAX_KEPT_BITMAPS:
            del self._bitmaps[next(iter(self._bitmaps))]
        self._bitmaps[leaf] = bitmap
        return bitmap


def _queries(leaf: Leaf) -> list[tuple[str, tuple[object, ...]]]:
    select = "SELECT document FROM fields WHERE field = ?"
    if not isinstance(leaf, Among):
        return [(f"{select} AND kind = ? AND value {leaf.comparison} ?", (leaf.field, int(leaf.kind), leaf.value))]
    if leaf.values is None:
        return [(select, (leaf.field,))]
    return [(f"{select} AND kind = ? AND value = ?", (leaf.field, int(kind), value)) for kind, value in leaf.values]
