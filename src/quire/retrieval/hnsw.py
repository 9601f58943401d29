"""HNSW: the nearest vectors to a query, found by walking a graph instead of comparing with all of them.

Face of csrc/retrieval/hnsw: turns what the caller has into arrays, knows the knobs and their limits. Vectors are
float32 (others are converted), ids whole numbers of 64 bits. Safe to use from many threads; a search runs beside
additions, and holds back deletions, updates and compaction only while it lasts.

    distance   cosine   1 - a·b / |a||b|      0 for the same direction, 2 for opposite ones
               ip       1 - a·b
               l2       |a - b|²              not its root

Every distance returned is computed from the float32 vectors, whatever `dtype` the walk reads.
"""

import operator
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from quire._native import Hnsw
from quire.errors import ConfigError, InvalidRequestError, shown, suggest
from quire.retrieval.ids import as_filter, as_ids

Ids: TypeAlias = npt.NDArray[np.int64]
Distances: TypeAlias = npt.NDArray[np.float32]

METRICS = {"cosine": 0, "ip": 1, "l2": 2}
DTYPES = {"f32": 0, "bf16": 1, "int8": 2}
MAX_DIM = 16_384
ALL_THREADS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class HNSWStats:
    num_vectors: int
    num_deleted: int
    """Rows that are only walked through; `compact()` drops them."""
    max_level: int
    mean_degree: float
    """Links per row on the ground level."""
    ram_bytes: int
    mapped_bytes: int
    """What lies in the mapped file, read as needed and dropped under memory pressure."""


class HNSW:
    """An index of vectors.

    M                links per row on the upper levels, twice as many on the ground. More: better recall, more memory.
    ef_construction  how many candidates are weighed for a row's links. More: a better graph, built more slowly.
    ef_search        how many candidates a search keeps, unless it says otherwise. More: better recall, slower.
    dtype            what walks read: f32, or bf16 or int8, faster and smaller, ranked again by the float32 vectors.
    seed             the same calls with the same seed build the same graph, on any number of threads.
    """

    def __init__(
        self,
        dim: int,
        metric: Literal["cosine", "ip", "l2"] = "cosine",
        M: int = 16,
        ef_construction: int = 200,
        ef_search: int = 50,
        dtype: Literal["f32", "bf16", "int8"] = "f32",
        seed: int = 0,
    ) -> None:
        self._native = Hnsw(
            _knob("dim", dim, MAX_DIM),
            _choice("metric", metric, METRICS),
            _choice("dtype", dtype, DTYPES),
            _knob("M", M, 512, least=2),
            _knob("ef_construction", ef_construction, 65_536),
            _knob("ef_search", ef_search, 65_536),
            _knob("seed", seed, 2**63, least=0),
        )
        self.dim, self.ef_search = dim, ef_search
        self.metric: str = metric
        self.dtype: str = dtype

    def add(self, vectors: npt.ArrayLike, ids: npt.ArrayLike | None = None, *, num_threads: int | None = None) -> Ids:
        """Adds new vectors, all or none of them, and returns their ids; without `ids`, the next free whole numbers.

        Raises InvalidRequestError for an id that is here already or given twice, and for vectors that are not finite,
        of another dimension, or zero where the metric is cosine.
        """
        rows = self._rows(vectors, "vectors")
        keys = self._next_ids(len(rows)) if ids is None else as_ids(ids)
        self._native.add(rows, keys, _threads(num_threads))
        return keys

    def update(self, ids: npt.ArrayLike, vectors: npt.ArrayLike, *, num_threads: int | None = None) -> None:
        """Gives known ids new vectors; a search sees all of the old or all of the new."""
        self._native.update(self._rows(vectors, "vectors"), as_ids(ids), _threads(num_threads))

    def delete(self, ids: npt.ArrayLike) -> None:
        """Takes ids out, all or none of them. Their memory is freed by `compact()`."""
        self._native.delete(as_ids(ids))

    def compact(self, *, num_threads: int | None = None) -> None:
        """Frees what was deleted or replaced and mends the graph around it. Readers go on meanwhile."""
        self._native.compact(_threads(num_threads))

    def search(
        self,
        queries: npt.ArrayLike,
        k: int = 10,
        *,
        ef_search: int | None = None,
        filter: npt.ArrayLike | Iterable[int] | None = None,  # noqa: A002
        num_threads: int | None = None,
    ) -> tuple[Ids, Distances]:
        """The nearest ids and their distances, nearest first: [n, k] for n queries, [k] for one vector.

        filter     ids that may be found, or an array of bool in which filter[id] says so; few are compared one by one.
        Where fewer than k pass, the arrays have as many columns as do: none at all in an empty index.
        """
        rows = self._rows(queries, "queries")
        ef = self.ef_search if ef_search is None else _knob("ef_search", ef_search, 65_536)
        ids, distances = self._native.search(rows, _knob("k", k, 2**30), ef, as_filter(filter), _threads(num_threads))
        return (ids, distances) if np.ndim(queries) == 2 else (ids[0], distances[0])

    def __len__(self) -> int:
        return len(self._native)

    def __contains__(self, key: int) -> bool:
        return self._native.contains(key)

    def ids(self) -> Ids:
        """All ids, in the order in which they came."""
        return np.array(self._native.ids(), dtype=np.int64)

    def get(self, key: int) -> npt.NDArray[np.float32] | None:
        """The vector of an id, of length 1 where the metric is cosine; None where there is no such id."""
        return self._native.vector(key) if self._native.contains(key) else None

    def stats(self) -> HNSWStats:
        return HNSWStats(*self._native.stats())

    def check_invariants(self) -> None:
        """Raises AssertionError at the first thing in the graph that must not be; for tests."""
        try:
            self._native.check_invariants()
        except RuntimeError as error:
            raise AssertionError(str(error)) from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one file, synced to disk before it takes the place of one that was there. Raises OSError."""
        self._native.save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "HNSW":
        """Maps a saved index; changes to it stay in memory until saved. The file must not be changed meanwhile.

        The graph's checksums are verified, those of the vectors by `verify`. Raises CorruptIndexError, or OSError.
        """
        index = cls.__new__(cls)
        index._native = Hnsw.load(os.fspath(path))
        dim, metric, dtype, _, _, ef_search, _ = index._native.options()
        index.dim, index.ef_search = dim, ef_search
        index.metric, index.dtype = list(METRICS)[metric], list(DTYPES)[dtype]
        return index

    @staticmethod
    def verify(path: str | os.PathLike[str]) -> None:
        """Reads a whole saved index and raises CorruptIndexError where a checksum differs."""
        Hnsw.verify(os.fspath(path))

    def _rows(self, vectors: npt.ArrayLike, name: str) -> npt.NDArray[np.float32]:
        """[n, dim], float32, contiguous."""
        try:
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidRequestError(f"{name} cannot be made an array of numbers: {error}", param=name) from None
        if rows.ndim == 1 and np.ndim(vectors) == 1 and rows.size:
            rows = rows[None]
        if rows.size == 0:
            rows = rows.reshape(0, self.dim)
        if rows.ndim != 2:
            raise InvalidRequestError(f"{name} has shape {rows.shape}; allowed: [n, {self.dim}]", param=name)
        return rows

    def _next_ids(self, count: int) -> Ids:
        first = self._native.claim_ids(count)
        return np.arange(first, first + count, dtype=np.int64)


def _threads(num_threads: int | None) -> int:
    return ALL_THREADS if num_threads is None else _knob("num_threads", num_threads, ALL_THREADS)


def _knob(name: str, value: int, most: int, *, least: int = 1) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise ConfigError(f"{name} is {shown(value)}; allowed: a whole number from {least} to {most}")
    return number


def _choice(name: str, value: str, codes: dict[str, int]) -> int:
    if value not in codes:
        raise ConfigError(f"{name} is {shown(value)}; allowed: {', '.join(codes)}.{suggest(value, codes)}")
    return codes[value]
