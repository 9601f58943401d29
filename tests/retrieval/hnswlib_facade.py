"""hnswlib's Index over ours, as far as both mean the same: what its users' programs may rely on after a change.

Its capacity is counted here; ours grows by itself. What it marks as deleted can be unmarked, so the vectors are kept
here meanwhile. Filters are functions there, ids here.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from quire.retrieval.hnsw import HNSW


class Index:
    def __init__(self, space: str, dim: int) -> None:
        self.space, self.dim = space, dim

    def init_index(
        self,
        max_elements: int,
        M: int = 16,
        ef_construction: int = 200,
        random_seed: int = 100,
        *,
        allow_replace_deleted: bool = False,
    ) -> None:
        self.max_elements, self.M, self.ef_construction = max_elements, M, ef_construction
        self.allow_replace_deleted, self.num_threads, self._next = allow_replace_deleted, None, 0
        self._marked: dict[int, np.ndarray] = {}
        self._index = HNSW(self.dim, self.space, M=M, ef_construction=ef_construction, seed=random_seed)

    def add_items(self, data, ids=None, *, replace_deleted: bool = False) -> None:
        rows = np.atleast_2d(data)
        labels = np.arange(self._next, self._next + len(rows)) if ids is None else np.atleast_1d(ids)
        if replace_deleted and not self.allow_replace_deleted:
            raise RuntimeError("Replacement of deleted elements is disabled in constructor")
        known = np.array([int(label) in self._index for label in labels], dtype=bool)
        num_new = int((~known).sum())
        if replace_deleted:
            for label in list(self._marked)[:num_new]:
                del self._marked[label]
        if self.element_count + num_new > self.max_elements:
            raise RuntimeError("The number of elements exceeds the specified limit")
        self._index.update(labels[known], rows[known], num_threads=self.num_threads)
        self._index.add(rows[~known], labels[~known], num_threads=self.num_threads)
        self._next = max(self._next, int(labels.max()) + 1)

    def knn_query(self, data, k: int = 1, *, filter: Callable[[int], bool] | None = None):  # noqa: A002
        allowed = None if filter is None else [label for label in self._index.ids().tolist() if filter(label)]
        found = self._index.search(np.atleast_2d(data), k, filter=allowed, num_threads=self.num_threads)
        if found[0].shape[1] < k:
            raise RuntimeError("Cannot return the results in a contiguous 2D array")
        return found

    def get_items(self, ids) -> np.ndarray:
        if np.ndim(ids) == 0:
            raise ValueError("ids is one number; give a list")
        vectors = [self._index.get(int(label)) for label in np.ravel(ids)]
        if any(vector is None for vector in vectors):
            raise RuntimeError("Label not found")
        return np.array(vectors)

    def get_ids_list(self) -> list[int]:
        return [*self._index.ids().tolist(), *self._marked]

    def mark_deleted(self, label: int) -> None:
        vector = self._index.get(int(label))
        if vector is None:
            raise RuntimeError("Label not found")
        self._index.delete([label])
        self._marked[int(label)] = vector

    def unmark_deleted(self, label: int) -> None:
        self._index.add(self._marked.pop(int(label)), [label])

    def resize_index(self, new_size: int) -> None:
        if new_size < self.element_count:
            raise RuntimeError("Cannot resize, max element is less than the current number of elements")
        self.max_elements = new_size

    def set_ef(self, ef: int) -> None:
        self._index.ef_search = ef

    def set_num_threads(self, num_threads: int) -> None:
        self.num_threads = num_threads

    @property
    def element_count(self) -> int:
        return len(self._index) + len(self._marked)

    def save_index(self, path: Path) -> None:
        self._index.save(path)

    def load_index(self, path: Path, max_elements: int = 0, *, allow_replace_deleted: bool = False) -> None:
        self.init_index(max_elements, allow_replace_deleted=allow_replace_deleted)
        self._index = HNSW.load(path)
        self.max_elements = max(max_elements, len(self._index))
        self._next = int(self._index.ids().max(initial=-1)) + 1
