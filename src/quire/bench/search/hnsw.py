"""Vector search: queries a second at measured recall@10, and build time, beside hnswlib, faiss and usearch.

Cases: search (one query at a time, one thread), batch (all queries, all threads), filter (a tenth or a hundredth of the
ids pass), and build if asked for, once, since it takes its time: further repetitions tell what the first one found.
Every side gets the same vectors and M, and ef_construction 200; each of `sizes`, `M` and `efs` is measured with each of
the others.

`data` (or QUIRE_DATA) is a folder with minilm_100k_f16.npy and minilm_queries_f16.npy, [n, dim] of any float type; or a
dataset, PATH or PATH:format, of whose texts and questions the default model makes vectors first, which takes longer
than all else. Without one, clustered random vectors take their place; they are easier than text, so compare sides only.
Recall is tie-aware: a hit counts if it is as near as the tenth nearest.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.bench.search.asked import given_place, sizes_within
from quire.bench.search.vectors import Array, Data, Flags, Found, K
from quire.retrieval.hnsw import HNSW

EF_CONSTRUCTION = 200
LEVELS = (0.95, 0.98, 0.99)


def cases(
    *,
    data: str = "",
    sizes: tuple[int, ...] = (100_000,),
    M: tuple[int, ...] = (16,),
    efs: tuple[int, ...] = (20, 40, 80),
    num_threads: int = 0,
    with_build: bool = False,
    quick: bool = False,
) -> list[Case]:
    counts = (5_000,) if quick else sizes
    loaded = Data.load(given_place(data), max(counts))
    threads = num_threads or os.cpu_count() or 1
    return [
        case
        for count in sizes_within(counts, len(loaded.vectors))
        for degree in M
        for case in _cases_of(Data(loaded.vectors[:count], loaded.queries), degree, efs, threads, with_build)
    ]


def _cases_of(data: Data, degree: int, efs: tuple[int, ...], threads: int, with_build: bool) -> list[Case]:
    """Those of one size and M. The last one of each side gives its index back."""
    sides = [side for side in _sides(data.vectors, degree, threads) if find_spec(side.package)]
    sizes = {"vectors": len(data.vectors), "M": degree}
    found = [Case("build", side.time_build, {**sizes, "threads": threads}, side.name) for side in sides if with_build]
    for ef in efs:
        params = {**sizes, "ef": ef}
        found += [Case("search", side.one_by_one(data, ef), params, side.name) for side in sides]
        found += [Case("batch", side.batched(data, ef, threads), params, side.name) for side in sides]
        for share in (0.01, 0.1):
            flags = np.random.default_rng(0).random(len(data.vectors)) < share
            filtered = [side for side in sides if side.can_filter]
            found += [
                Case("filter", side.one_by_one(data, ef, flags), {**params, "share": share}, side.name)
                for side in filtered
            ]
    if find_spec(FaissFlat.package):
        flat, share = FaissFlat(data.vectors, degree, threads), 0.01
        flags = np.random.default_rng(0).random(len(data.vectors)) < share
        found.append(Case("filter", flat.one_by_one(data, 0, flags), {**sizes, "ef": 0, "share": share}, flat.name))
        sides = [*sides, flat]
    for side in sides:
        last = max(place for place, case in enumerate(found) if case.side == side.name)
        found[last] = replace(found[last], close=side.drop)
    return found


def explain(report: Report) -> str:
    """The table for the documentation: queries a second where each side reaches a recall, between the measured efs."""
    curves: dict[tuple[str, Any], dict[str, list[tuple[float, float]]]] = {}
    for result in report.results:
        if "recall" in result.values:
            of_case = curves.setdefault((result.name, result.params.get("share")), {})
            point = (result.summary("recall").median, result.summary("queries_per_s").median)
            of_case.setdefault(result.side, []).append(point)
    sides = list(dict.fromkeys(side for of_case in curves.values() for side in of_case))
    lines = [f"| queries/s at recall@10 | {' | '.join(sides)} |", f"| --- |{' --- |' * len(sides)}"]
    for (case, share), of_case in curves.items():
        what = case if share is None else f"{case}, {100 * share:g} % pass"
        for level in LEVELS:
            rates = [_rate_at(level, of_case.get(side, [])) for side in sides]
            lines.append(_row(f"{what}, {level}", ["" if rate is None else f"{rate:,.0f}" for rate in rates]))
    built = {result.side: result.summary("build_s").median for result in report.results if "build_s" in result.values}
    if built:
        lines.append(_row("build, s", [f"{built[side]:.1f}" if side in built else "" for side in sides]))
    return "\n".join(lines)


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _rate_at(level: float, points: list[tuple[float, float]]) -> float | None:
    """Between the two points around it, by the logarithm of the share that is missed; None where it is not reached."""
    recalls, rates = np.array(sorted(points)).reshape(-1, 2).T
    if not len(recalls) or recalls[-1] < level:
        return None
    missed = -np.log10(np.maximum(1 - recalls, 1e-5))
    return float(np.exp(np.interp(-np.log10(1 - level), missed, np.log(rates))))


class Side(ABC):
    """An index of one library, built when first needed and kept."""

    name: str
    package: str
    can_filter = False

    def __init__(self, vectors: Array, degree: int, num_threads: int) -> None:
        self.vectors, self.degree, self.num_threads = vectors, degree, num_threads
        self._index: Any = None
        self._built: Measurement | None = None

    def drop(self) -> None:
        self._index = None

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
        if self._built is None:
            start = perf_counter()
            self._index = self.build()
            self._built = Measurement({"build_s": perf_counter() - start})
        return self._built

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


class Faiss(Side):
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


class Hnswlib(Side):
    name, package = "hnswlib", "hnswlib"

    def build(self) -> Any:
        hnswlib: Any = import_module(self.package)
        index = hnswlib.Index("cosine", self.vectors.shape[1])
        index.init_index(len(self.vectors), M=self.degree, ef_construction=EF_CONSTRUCTION)
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


def _sides(vectors: Array, degree: int, num_threads: int) -> list[Side]:
    return [
        Quire(vectors, degree, num_threads, "int8"),
        Faiss(vectors, degree, num_threads),
        Quire(vectors, degree, num_threads, "f32"),
        Hnswlib(vectors, degree, num_threads),
        Usearch(vectors, degree, num_threads),
    ]
