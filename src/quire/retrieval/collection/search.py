"""One query, answered: both rankings of one state of the collection, made one, then the passages, perhaps judged again.

    embed ───────────────── dense ┐
    filter ── words               ├── fusion ── passages ── rerank

`run` is what `Collection.search` does and what a pipeline around it does; `timed` tells it how long each stage took.
Words are looked up in another thread while this one embeds. Nothing of a reading is needed after the passages.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from quire.errors import InvalidRequestError, shown, suggest
from quire.retrieval.collection.documents import checked_text
from quire.retrieval.embedding import Reranker, Vectors
from quire.retrieval.fusion import dbsf, rrf, weighted
from quire.retrieval.store.state.reading import Reading
from quire.retrieval.store.tables import filters
from quire.retrieval.store.tables.rows import StoredChunk

Mode: TypeAlias = Literal["hybrid", "dense", "lexical"]
Ranking: TypeAlias = Sequence[tuple[int, float]]
Fusion: TypeAlias = Callable[..., list[tuple[int, float]]]
Timed: TypeAlias = Callable[[str], AbstractContextManager[object]]

MODES = ("hybrid", "dense", "lexical")
FUSIONS: dict[str, Fusion] = {"rrf": rrf, "weighted": weighted, "dbsf": dbsf}
MAX_K = 10_000
DEPTH = 100


@dataclass(frozen=True, slots=True)
class Part:
    """What one part of the search said of a hit."""

    rank: int
    """From 1."""
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    document_id: str
    chunk_id: str
    text: str
    score: float
    """Of the last stage; higher is better. Its meaning depends on mode and fusion."""
    metadata: dict[str, Any]
    start: int
    """Where the passage begins in the text of its document; `end` is where it ends."""
    end: int
    heading: str | None
    parts: dict[str, Part] = field(default_factory=dict)
    """By "dense" (cosine similarity), "lexical" (BM25) and, where hits were reranked, "fused": those that found it."""


@dataclass(frozen=True, slots=True)
class Request:
    """A question that can be answered. `depth` hits of each part are fused, and reranked."""

    query: str
    k: int
    mode: Mode
    tree: filters.Filter | None = None
    fusion: str | Fusion = "rrf"
    weights: Mapping[str, float] | None = None
    depth: int = DEPTH
    rerank: Reranker | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequestError for anything that cannot be asked."""
        checked_text(self.query, "query")
        _check_count("k", self.k)
        _check_count("depth", self.depth)
        _check_choice("mode", self.mode, MODES)
        if isinstance(self.fusion, str):
            _check_choice("fusion", self.fusion, FUSIONS)
        for part in self.weights or ():
            _check_choice("weights", part, MODES[1:])

    def fuse(self, rankings: dict[str, Ranking]) -> Ranking:
        if len(rankings) == 1:
            return next(iter(rankings.values()))
        fusion = FUSIONS[self.fusion] if isinstance(self.fusion, str) else self.fusion
        lists = list(rankings.values())
        if self.weights is None:
            return fusion(lists)
        return fusion(lists, weights=[self.weights.get(part, 1.0) for part in rankings])


def run(
    request: Request,
    reading: Callable[[], AbstractContextManager[Reading]],
    embed: Callable[[], Vectors] | None,
    others: Executor,
    timed: Timed = nullcontext,
) -> list[Hit]:
    """Best first, at most k, all of them passages that pass the filter.

    embed      makes the vector of the query; not asked where the mode needs none.
    """
    with reading() as state:
        allowed = None
        if request.tree is not None:
            with timed("filter"):
                allowed = state.allowed(request.tree)
        rankings = _rankings(request, state, allowed, embed, others, timed)
        with timed("fuse"):
            best = request.fuse(rankings)[: request.k if request.rerank is None else max(request.k, request.depth)]
        with timed("fetch"):
            found = state.chunks([key for key, _ in best])
    parts = {name: _places(ranking) for name, ranking in rankings.items()}
    hits = [
        _hit(found[key], score, {name: places[key] for name, places in parts.items() if key in places})
        for key, score in best
    ]
    if request.rerank is None or not hits:
        return hits
    with timed("rerank"):
        return _reranked(request, hits, request.rerank)[: request.k]


def _rankings(
    request: Request,
    state: Reading,
    allowed: Any,
    embed: Callable[[], Vectors] | None,
    others: Executor,
    timed: Timed,
) -> dict[str, Ranking]:
    def by_words() -> Ranking:
        with timed("lexical"):
            return state.lexical(request.query, max(request.k, request.depth), allowed)

    if request.mode == "lexical" or embed is None:
        return {"lexical": by_words()}
    words = others.submit(by_words) if request.mode == "hybrid" else None
    try:
        with timed("embed"):
            vector = embed()
        with timed("dense"):
            dense = {"dense": state.dense(vector, max(request.k, request.depth), allowed)}
    finally:
        lexical = {} if words is None else {"lexical": words.result()}
    return dense | lexical


def _places(ranking: Ranking) -> dict[int, Part]:
    return {key: Part(rank, score) for rank, (key, score) in enumerate(ranking, 1)}


def _hit(found: StoredChunk, score: float, parts: dict[str, Part]) -> Hit:
    chunk = found.chunk
    place = (chunk.start, chunk.end, chunk.heading)
    return Hit(found.document_id, chunk.id, chunk.text, score, found.metadata, *place, parts)


def _reranked(request: Request, hits: list[Hit], reranker: Reranker) -> list[Hit]:
    scores = reranker.score(request.query, [hit.text for hit in hits])
    judged = [
        replace(hit, score=float(score), parts=hit.parts | {"fused": Part(rank, hit.score)})
        for rank, (hit, score) in enumerate(zip(hits, scores, strict=True), 1)
    ]
    return sorted(judged, key=lambda hit: -hit.score)


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_K:
        raise InvalidRequestError(f"{name} is {shown(value)}; allowed: a whole number from 1 to {MAX_K:,}", param=name)


def _check_choice(name: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise InvalidRequestError(
            f"{name} is {shown(value)}; allowed: {', '.join(allowed)}.{suggest(str(value), allowed)}", param=name
        )
