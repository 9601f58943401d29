"""Indexes of vectors, ours and the peers', as `quire bench hnsw` asks all of them: build, search, save, load, reinsert.

Each is built when first needed and kept. Knows nothing of cases or of time.
"""

from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quire.bench.search.vectors import Array, Flags, Found, K
from quire.retrieval.hnsw import HNSW

EF_CONSTRUCTION = 200
Ids = npt.NDArray[np.int64]


class Side(ABC):
    """An index of one library."""

    name: str
    package: str
    can_filter = False

    def __init__(self, vectors: Array, degree: int, num_threads: int) -> None:
        self.vectors, self.degree, self.num_threads = vectors, degree, num_threads
        self._index: Any = None

    @property
    def index(self) -> Any:
        if self._index is None:
            self._index = self.build()
        return self._index

    def rebuild(self) -> None:
        self._index = None
        self._index = self.build()

    def drop(self) -> None:
        self._index = None

    @abstractmethod
    def build(self) -> Any: ...

    @abstractmethod
    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found: ...


class SavedSide(Side):
    """One that is saved to a file and loaded from it."""

    @abstractmethod
    def save(self, path: Path) -> None: ...

    @abstractmethod
    def load(self, path: Path) -> Any: ...

    def ram_bytes(self, loaded: Any) -> int | None:  # noqa: ARG002
        """What searches read of a loaded index, where the library says so."""
        return None


class ChangingSide(SavedSide):
    """One whose vectors are taken out and put back."""

    @abstractmethod
    def delete(self, ids: Ids) -> None: ...

    @abstractmethod
    def insert(self, ids: Ids) -> None: ...

    def compact(self) -> bool:
        """False where the library has nothing of the kind."""
        return False


class Quire(ChangingSide):
    package = "quire"

    def __init__(self, vectors: Array, degree: int, num_threads: int, dtype: Any) -> None:
        super().__init__(vectors, degree, num_threads)
        self.name, self.dtype = f"quire {dtype}", dtype
        self.can_filter = dtype == "int8"

    def build(self) -> HNSW:
        index = HNSW(self.vectors.shape[1], M=self.degree, ef_construction=EF_CONSTRUCTION, dtype=self.dtype)
        index.add(self.vectors, num_threads=self.num_threads)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        ids, _ = self.index.search(queries, K, ef_search=ef, filter=flags, num_threads=num_threads)
        return np.asarray(ids)

    def save(self, path: Path) -> None:
        self.index.save(path)

    def load(self, path: Path) -> HNSW:
        return HNSW.load(path)

    def ram_bytes(self, loaded: HNSW) -> int:
        """Rows that walks read, links and ids; not the float32 rows behind others, of which a search reads a few."""
        stats = loaded.stats()
        return stats.ram_bytes + stats.mapped_bytes - (0 if self.dtype == "f32" else self.vectors.nbytes)

    def delete(self, ids: Ids) -> None:
        self.index.delete(ids)

    def insert(self, ids: Ids) -> None:
        self.index.add(self.vectors[ids], ids, num_threads=self.num_threads)

    def compact(self) -> bool:
        self.index.compact(num_threads=self.num_threads)
        return True


class Faiss(SavedSide):
    name, package = "faiss hnsw-sq8", "faiss"
    can_filter = True

    def build(self) -> Any:
        faiss: Any = import_module(self.package)
        faiss.omp_set_num_threads(self.num_threads)
        index = faiss.IndexHNSWSQ(
            self.vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, self.degree, faiss.METRIC_INNER_PRODUCT
        )
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.train(self.vectors)
        index.add(self.vectors)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        faiss: Any = import_module(self.package)
        faiss.omp_set_num_threads(num_threads)
        bits = None if flags is None else faiss.IDSelectorBitmap(np.packbits(flags, bitorder="little"))
        _, ids = self.index.search(queries, K, params=faiss.SearchParametersHNSW(efSearch=ef, sel=bits))
        return np.asarray(ids)

    def save(self, path: Path) -> None:
        import_module(self.package).write_index(self.index, str(path))

    def load(self, path: Path) -> Any:
        return import_module(self.package).read_index(str(path))


class FaissFlat(Side):
    name, package = "faiss flat", "faiss"

    def build(self) -> Any:
        index = import_module(self.package).IndexFlatIP(self.vectors.shape[1])
        index.add(self.vectors)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:  # noqa: ARG002
        assert flags is not None, "all vectors one by one are no match for a graph"
        faiss: Any = import_module(self.package)
        faiss.omp_set_num_threads(num_threads)
        bits = faiss.IDSelectorBitmap(np.packbits(flags, bitorder="little"))
        return np.asarray(self.index.search(queries, K, params=faiss.SearchParameters(sel=bits))[1])


class Hnswlib(ChangingSide):
    name, package = "hnswlib", "hnswlib"

    def build(self) -> Any:
        index = self._empty()
        index.init_index(len(self.vectors), M=self.degree, ef_construction=EF_CONSTRUCTION, allow_replace_deleted=True)
        index.add_items(self.vectors, num_threads=self.num_threads)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        self.index.set_ef(max(ef, K))
        allowed = None if flags is None else flags.__getitem__
        ids, _ = self.index.knn_query(queries, k=K, num_threads=num_threads, filter=allowed)
        return np.asarray(ids, dtype=np.int64)

    def save(self, path: Path) -> None:
        self.index.save_index(str(path))

    def load(self, path: Path) -> Any:
        index = self._empty()
        index.load_index(str(path))
        return index

    def delete(self, ids: Ids) -> None:
        for key in ids:
            self.index.mark_deleted(int(key))

    def insert(self, ids: Ids) -> None:
        self.index.add_items(self.vectors[ids], ids, num_threads=self.num_threads, replace_deleted=True)

    def _empty(self) -> Any:
        return import_module(self.package).Index("cosine", self.vectors.shape[1])


class Usearch(ChangingSide):
    name, package = "usearch i8", "usearch"

    def build(self) -> Any:
        index = import_module("usearch.index").Index(
            ndim=self.vectors.shape[1],
            metric="cos",
            dtype="i8",
            connectivity=self.degree,
            expansion_add=EF_CONSTRUCTION,
        )
        index.add(np.arange(len(self.vectors)), self.vectors, threads=self.num_threads)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        assert flags is None, "usearch is not asked to filter"
        self.index.expansion_search = ef
        ids = self.index.search(queries, K, threads=num_threads).keys
        return np.asarray(ids, dtype=np.int64).reshape(len(queries), -1)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def load(self, path: Path) -> Any:
        return import_module("usearch.index").Index.restore(str(path), view=True)

    def delete(self, ids: Ids) -> None:
        self.index.remove(ids, threads=self.num_threads)

    def insert(self, ids: Ids) -> None:
        self.index.add(ids, self.vectors[ids], threads=self.num_threads)


def all_sides(vectors: Array, degree: int, num_threads: int) -> list[SavedSide]:
    return [
        Quire(vectors, degree, num_threads, "int8"),
        Faiss(vectors, degree, num_threads),
        Quire(vectors, degree, num_threads, "f32"),
        Hnswlib(vectors, degree, num_threads),
        Usearch(vectors, degree, num_threads),
    ]
