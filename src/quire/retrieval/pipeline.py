"""One way of asking a collection, for all who ask: remembers answers, counts what is asked and found, times each stage.

    query ── kept? ── embed ── dense ┐
                  └── lexical        ├── fuse ── fetch ── rerank ── hits

An answer is kept until the collection changes (its version is part of the key) or others need the room. What is hot is
known by a Count-Min Sketch each for queries and chunks; `decay` makes that "hot now". Safe to share between threads.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import perf_counter
from typing import Any, TypeAlias

from quire.cache.token_lru import TokenLRU
from quire.retrieval.collection import Collection, Hit
from quire.retrieval.collection.search import DEPTH, Fusion, Mode, Request
from quire.retrieval.count_min import CountMinSketch, Key
from quire.retrieval.embedding import Reranker
from quire.retrieval.store.tables import filters

CHARACTERS_PER_TOKEN = 4
NUM_HOT = 256
"""Queries and chunks that are remembered by name."""

Counted: TypeAlias = list[tuple[Key, int]]


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Shared by all who asked the same; not to be changed."""

    hits: tuple[Hit, ...]
    """Best first, with their documents, scores and places."""
    version: int
    """Of the collection; the hits are those of this version or a newer one."""
    is_from_cache: bool
    timings_ms: Mapping[str, float]
    """By stage, and "total". `embed` and `lexical` run at one time, so the sum may be above the total."""


@dataclass(frozen=True, slots=True)
class PipelineStats:
    num_queries: int
    num_from_cache: int
    cached_tokens: int
    mean_ms: Mapping[str, float]
    """By stage, over the queries that went through it."""


class RetrievalPipeline:
    """collection      which is asked; it stays its owner's to close
    k, mode, fusion, weights, depth, rerank    as in `Collection.search`
    cache_tokens    of text in answers that are kept, a token being four characters; 0 keeps none
    """

    def __init__(
        self,
        collection: Collection,
        *,
        k: int = 10,
        mode: Mode | None = None,
        fusion: str | Fusion = "rrf",
        weights: Mapping[str, float] | None = None,
        depth: int = DEPTH,
        rerank: Reranker | None = None,
        cache_tokens: int = 1_000_000,
    ) -> None:
        self._collection = collection
        self._k, self._mode, self._depth = k, mode, depth
        self._fusion, self._weights, self._rerank = fusion, weights, rerank
        self._request("", None, None)
        self._kept: TokenLRU[Any, tuple[Hit, ...]] = TokenLRU(cache_tokens)
        self._queries, self._chunks = CountMinSketch(num_hitters=NUM_HOT), CountMinSketch(num_hitters=NUM_HOT)
        self._lock = Lock()
        self._num_queries = self._num_from_cache = 0
        self._spent: dict[str, tuple[float, int]] = {}

    def retrieve(self, query: str, k: int | None = None, *, filter: Mapping[str, Any] | None = None) -> Retrieved:  # noqa: A002
        """The passages that answer best. Raises what `Collection.search` raises."""
        timings: dict[str, float] = {}
        with _timed_in(timings, "total"):
            request = self._request(query, k, filter)
            version = self._collection.version
            key = (version, query, request.k, request.mode, request.tree)
            hits = self._kept.get(key)
            is_from_cache = hits is not None
            if hits is None:
                hits = tuple(self._collection.ask(request, timed=lambda stage: _timed_in(timings, stage)))
                self._keep(key, hits)
        self._count(query, hits, timings, is_from_cache)
        return Retrieved(hits, version, is_from_cache, timings)

    def hot_queries(self, k: int | None = None) -> Counted:
        """What is asked most, with how often, most first; never counted too low, but for what `decay` rounds."""
        return self._queries.heavy_hitters(k)

    def hot_chunks(self, k: int | None = None) -> Counted:
        """Ids of the chunks that are found most, with how often."""
        return self._chunks.heavy_hitters(k)

    def decay(self, factor: float) -> None:
        """Lets the past count less; `decay(0.5)` once per half-life."""
        self._queries.decay(factor)
        self._chunks.decay(factor)

    def stats(self) -> PipelineStats:
        with self._lock:
            mean_ms = {stage: total / count for stage, (total, count) in self._spent.items()}
            return PipelineStats(self._num_queries, self._num_from_cache, self._kept.num_tokens, mean_ms)

    def _request(self, query: str, k: int | None, given: Mapping[str, Any] | None) -> Request:
        mode = self._mode or self._collection.best_mode
        tree = filters.parse(given)
        k = self._k if k is None else k
        return Request(query, k, mode, tree, self._fusion, self._weights, self._depth, self._rerank)

    def _keep(self, key: Any, hits: tuple[Hit, ...]) -> None:
        num_tokens = 1 + sum(len(hit.text) for hit in hits) // CHARACTERS_PER_TOKEN
        if num_tokens <= self._kept.capacity_tokens:
            self._kept.put(key, hits, num_tokens)

    def _count(self, query: str, hits: tuple[Hit, ...], timings: dict[str, float], is_from_cache: bool) -> None:
        self._queries.add(" ".join(query.split()))
        self._chunks.add_batch([hit.chunk_id for hit in hits])
        with self._lock:
            self._num_queries += 1
            self._num_from_cache += is_from_cache
            for stage, spent_ms in timings.items():
                total, count = self._spent.get(stage, (0.0, 0))
                self._spent[stage] = total + spent_ms, count + 1


@contextmanager
def _timed_in(timings: dict[str, float], stage: str) -> Iterator[None]:
    begin = perf_counter()
    try:
        yield
    finally:
        timings[stage] = 1000 * (perf_counter() - begin)
