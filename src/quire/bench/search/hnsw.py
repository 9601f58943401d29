"""Vector search: queries a second at measured recall@10, and build time, beside hnswlib, faiss and usearch.

Cases: search (one query at a time, one thread), batch (all queries, all threads), filter (a tenth or a hundredth of the
ids pass), and build if asked for. Every side gets the same vectors, M 16 and ef_construction 200.

`data` (or QUIRE_DATA) is a folder with minilm_100k_f16.npy and minilm_queries_f16.npy, [n, dim] of any float type.
Without one, clustered random vectors take their place; they are easier than text, so compare sides only. Recall is
tie-aware: a hit counts if it is as near as the tenth nearest.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from quire.bench.harness import Case, Measurement
from quire.retrieval.hnsw import HNSW

K, M, EF_CONSTRUCTION = 10, 16, 200
Array = npt.NDArray[np.float32]
Found = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def cases(
    *,
    data: str = "",
    num_vectors: int = 100_000,
    efs: tuple[int, ...] = (20, 40, 80),
    num_threads: int = 0,
    with_build: bool = False,
    quick: bool = False,
) -> list[Case]:
    loaded = Data.load(data or os.environ.get("QUIRE_DATA", ""), 5_000 if quick else num_vectors)
    threads = num_threads or os.cpu_count() or 1
    sides = [side for side in _sides(loaded.vectors, threads) if find_spec(side.package)]
    found = [Case("build", side.time_build, {"threads": threads}, side.name) for side in sides if with_build]
    for ef in efs:
        found += [Case("search", side.one_by_one(loaded, ef), {"ef": ef}, side.name) for side in sides]
        found += [Case("batch", side.batched(loaded, ef, threads), {"ef": ef}, side.name) for side in sides]
        for share in (0.01, 0.1):
            flags = np.random.default_rng(0).random(len(loaded.vectors)) < share
            params = {"ef": ef, "share": share}
            found += [Case("filter", side.one_by_one(loaded, ef, flags), params, side.name) for side in sides[:2]]
    return found


@dataclass(frozen=True, slots=True)
class Data:
    vectors: Array
    queries: Array

    @classmethod
    def load(cls, folder: str, num_vectors: int) -> "Data":
        if not folder:
            rows = _unit(_clustered(num_vectors + 1000, 384))
            return cls(rows[:num_vectors], rows[num_vectors:])
        names = ("minilm_100k_f16.npy", "minilm_queries_f16.npy")
        vectors, queries = (_unit(np.load(Path(folder) / name)) for name in names)
        return cls(vectors[:num_vectors], queries)

    def recall(self, found: Found, flags: Flags | None) -> float:
        similarities = self.queries @ self.vectors.T
        if flags is not None:
            similarities[:, ~flags] = -2
        tenth = -np.partition(-similarities, K - 1, axis=1)[:, K - 1]
        return float((np.take_along_axis(similarities, found, axis=1) >= tenth[:, None] - 1e-6).mean())


def _clustered(count: int, dim: int) -> Array:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, dim))
    return (centres[rng.integers(0, 1000, count)] + 0.8 * rng.normal(size=(count, dim))).astype(np.float32)


def _unit(vectors: npt.NDArray[Any]) -> Array:
    rows = np.array(vectors, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


class Side(ABC):
    """An index of one library, built when first needed and kept."""

    name: str
    package: str

    def __init__(self, vectors: Array, num_threads: int) -> None:
        self.vectors, self.num_threads = vectors, num_threads
        self._index: Any = None

    @abstractmethod
    def build(self) -> Any: ...

    @abstractmethod
    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found: ...

    @property
    def index(self) -> Any:
        if self._index is None:
            self._index = self.build()
        return self._index

    def time_build(self) -> Measurement:
        start = perf_counter()
        self._index = self.build()
        return Measurement({"build_s": perf_counter() - start})

    def one_by_one(self, data: Data, ef: int, flags: Flags | None = None) -> Callable[[], Measurement]:
        return self._measured(data, flags, lambda query: self.search(query, ef, 1, flags), len(data.queries))

    def batched(self, data: Data, ef: int, num_threads: int) -> Callable[[], Measurement]:
        return self._measured(data, None, lambda queries: self.search(queries, ef, num_threads, None), 1)

    def _measured(
        self, data: Data, flags: Flags | None, search: Callable[[Array], Found], num_calls: int
    ) -> Callable[[], Measurement]:
        def measure() -> Measurement:
            assert self.index is not None
            parts, found, ended_s = np.array_split(data.queries, num_calls), [], [perf_counter()]
            for part in parts:
                found.append(search(part))
                ended_s.append(perf_counter())
            recall = data.recall(np.vstack(found), flags)
            values = {"queries_per_s": len(data.queries) / (ended_s[-1] - ended_s[0]), "recall": recall}
            return Measurement(values, {"call_ms": (np.diff(ended_s) * 1e3).tolist()})

        return measure


class Quire(Side):
    package = "quire"

    def __init__(self, vectors: Array, num_threads: int, dtype: Any) -> None:
        super().__init__(vectors, num_threads)
        self.name, self.dtype = f"quire {dtype}", dtype

    def build(self) -> HNSW:
        index = HNSW(self.vectors.shape[1], M=M, ef_construction=EF_CONSTRUCTION, dtype=self.dtype)
        index.add(self.vectors, num_threads=self.num_threads)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        ids, _ = self.index.search(queries, K, ef_search=ef, filter=flags, num_threads=num_threads)
        return np.asarray(ids)


class Faiss(Side):
    name, package = "faiss hnsw-sq8", "faiss"

    def build(self) -> Any:
        faiss: Any = import_module(self.package)
        faiss.omp_set_num_threads(self.num_threads)
        index = faiss.IndexHNSWSQ(self.vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, M, faiss.METRIC_INNER_PRODUCT)
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


class Hnswlib(Side):
    name, package = "hnswlib", "hnswlib"

    def build(self) -> Any:
        hnswlib: Any = import_module(self.package)
        index = hnswlib.Index("cosine", self.vectors.shape[1])
        index.init_index(len(self.vectors), M=M, ef_construction=EF_CONSTRUCTION)
        index.add_items(self.vectors, num_threads=self.num_threads)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        self.index.set_ef(max(ef, K))
        allowed = None if flags is None else flags.__getitem__
        ids, _ = self.index.knn_query(queries, k=K, num_threads=num_threads, filter=allowed)
        return np.asarray(ids, dtype=np.int64)


class Usearch(Side):
    name, package = "usearch i8", "usearch"

    def build(self) -> Any:
        index = import_module("usearch.index").Index(
            ndim=self.vectors.shape[1], metric="cos", dtype="i8", connectivity=M, expansion_add=EF_CONSTRUCTION
        )
        index.add(np.arange(len(self.vectors)), self.vectors, threads=self.num_threads)
        return index

    def search(self, queries: Array, ef: int, num_threads: int, flags: Flags | None) -> Found:
        assert flags is None, "usearch is not asked to filter"
        self.index.expansion_search = ef
        ids = self.index.search(queries, K, threads=num_threads).keys
        return np.asarray(ids, dtype=np.int64).reshape(len(queries), -1)


def _sides(vectors: Array, num_threads: int) -> list[Side]:
    """The sides that can filter come first."""
    return [
        Quire(vectors, num_threads, "int8"),
        Faiss(vectors, num_threads),
        Quire(vectors, num_threads, "f32"),
        Hnswlib(vectors, num_threads),
        Usearch(vectors, num_threads),
    ]
