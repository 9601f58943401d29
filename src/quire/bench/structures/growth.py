"""What each structure costs as it grows, and the curve through it, beside the complexity that is claimed.

Case growth: one operation of one structure, one call each from Python, at `sizes` geometric steps. `call_us` is the
operation's time for one of what the claim counts (a page, an entry, a query).

The curve is cost = c * size^exponent, by least squares over the medians in logarithms. A claimed O(log n) has an
exponent too, over the same sizes: that of the line through log(size). A structure larger than the processor's caches
pays for memory as well, which no claim counts: between the smallest and the largest size that is up to ten times.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from quire.bench.harness import Case, Measurement, Param
from quire.bench.results import Report
from quire.cache import KVCache, PagedAllocator, TokenBudget, TokenLRU, Tokens
from quire.retrieval.count_min import CountMinSketch
from quire.retrieval.hnsw import HNSW
from quire.retrieval.inverted_index import InvertedIndex
from quire.scheduling import AdmissionController, AdmissionLimits, Admitted, IndexedHeap

SHAPES: dict[str, Callable[[float], float]] = {"1": lambda _: 1.0, "log n": math.log, "n": lambda n: n}
STEP = 8
"""Every size is this many times the one before."""
DIM = 32
PAGE_TOKENS = 16
WORDS_PER_TEXT = 8

Make = Callable[[int], Callable[[], object]]
"""A structure of some size, as the operation on it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`make(n)()` is one call; its cost is claimed to grow as `claim` does, one of SHAPES."""

    structure: str
    name: str
    claim: str
    counts: str
    """What n is."""
    make: Make
    smallest: int = 1_000
    largest: int = 10**6
    units: int | None = 1
    """How many of what the claim counts one call does; None: n."""

    def sizes(self, largest: int) -> list[int]:
        found, size = [], self.smallest
        while size <= min(self.largest, largest):
            found.append(size)
            size *= STEP
        return found


@dataclass(frozen=True, slots=True)
class Curve:
    """cost = factor * size^exponent, and the exponent of the claim over the same sizes."""

    exponent: float
    factor: float
    claimed_exponent: float


def cases(*, largest: int = 600_000, seconds: float = 0.1, quick: bool = False) -> list[Case]:
    limit, least_s = (8_000, 0.001) if quick else (largest, seconds)
    return [_case(operation, size, least_s) for operation in OPERATIONS for size in operation.sizes(limit)]


def fit(sizes: Sequence[float], costs: Sequence[float], claim: str) -> Curve:
    """Least squares in logarithms. Needs two sizes."""
    x, y = np.log(sizes), np.log(costs)
    exponent, offset = np.polyfit(x, y, 1)
    claimed = np.polyfit(x, np.log([SHAPES[claim](size) for size in sizes]), 1)[0]
    return Curve(float(exponent), float(np.exp(offset)), float(claimed))


def curves(report: Report) -> Iterator[tuple[Operation, list[tuple[int, float]], Curve]]:
    """Each operation with its points (size, median µs) and the curve through them."""
    for operation in OPERATIONS:
        points = [
            (int(result.params["n"]), result.summary("call_us").median)
            for result in report.results
            if result.params["structure"] == operation.structure and result.params["operation"] == operation.name
        ]
        if len(points) > 1:
            sizes, costs = zip(*points, strict=True)
            yield operation, points, fit(sizes, costs, operation.claim)


def explain(report: Report) -> str:
    return "\n".join(
        f"{operation.structure}, {operation.name}: size^{curve.exponent:.2f} up to {points[-1][0]:,} {operation.counts}"
        f"; O({operation.claim}) would be size^{curve.claimed_exponent:.2f}"
        for operation, points, curve in curves(report)
    )


def plot(report: Report, path: Path) -> None:
    from quire.bench.plots import save_curves

    found = {f"{op.structure}: {op.name}, O({op.claim})": points for op, points, _ in curves(report)}
    save_curves(path, found, x="size", y="µs", is_logarithmic=True)


def _case(operation: Operation, size: int, least_s: float) -> Case:
    held: list[Callable[[], object]] = []

    def run() -> Measurement:
        if not held:
            held.append(operation.make(size))
        call, calls, elapsed_s = held[0], 1, 0.0
        while True:
            start_s = perf_counter()
            for _ in range(calls):
                call()
            elapsed_s = perf_counter() - start_s
            if elapsed_s >= least_s:
                return Measurement({"call_us": elapsed_s * 1e6 / calls / (operation.units or size)})
            calls = max(2 * calls, int(1.2 * calls * least_s / max(elapsed_s, 1e-9)))

    params: dict[str, Param] = {
        "structure": operation.structure,
        "operation": operation.name,
        "claim": operation.claim,
        "n": size,
    }
    return Case("growth", run, params, close=held.clear)


def _pages(n: int) -> Callable[[], object]:
    pages = PagedAllocator(n)
    pages.allocate(n // 2)

    def call() -> None:
        pages.free(pages.allocate(8))

    return call


def _attach(n: int) -> Callable[[], object]:
    """A sequence of n pages, all of them shared with one that is there."""
    cache, rows, tokens = _kv(n)

    def call() -> None:
        cache.attach("other", rows, rows, tokens)
        cache.detach("other")

    return call


def _get(n: int) -> Callable[[], object]:
    cache, _, _ = _kv(n)
    return lambda: cache.get("one")


def _kv(n: int) -> tuple[KVCache, npt.NDArray[np.float32], list[int]]:
    cache = KVCache(n + 8, PAGE_TOKENS, (1,))
    rows, tokens = np.zeros((n * PAGE_TOKENS, 1), np.float32), list(range(n * PAGE_TOKENS))
    cache.attach("one", rows, rows, tokens)
    return cache, rows, tokens


def _lru(n: int) -> Callable[[], object]:
    lru: TokenLRU[int, int] = TokenLRU(n)
    for key in range(n):
        lru.put(key, key, 1)
    keys = _any_of(2 * n)

    def call() -> None:
        key = next(keys)
        if lru.get(key) is None:
            lru.put(key, key, 1)

    return call


def _budget(n: int) -> Callable[[], object]:
    budget = TokenBudget(Tokens(kv=10 * n))
    for owner in range(n):
        budget.reserve(owner, Tokens(kv=1))

    def call() -> None:
        budget.reserve("one more", Tokens(kv=1))
        budget.release("one more")

    return call


def _heap(n: int) -> IndexedHeap[int]:
    return IndexedHeap.heapify(list(range(n)), np.random.default_rng(0).random(n).tolist())


def _push_pop(n: int) -> Callable[[], object]:
    heap, draws = _heap(n), _draws()

    def call() -> None:
        key, priority = heap.pop()
        heap.push(key, priority + next(draws))

    return call


def _update(n: int) -> Callable[[], object]:
    heap, keys, draws = _heap(n), _any_of(n), _draws()
    return lambda: heap.update(next(keys), next(draws))


def _admission(n: int) -> Callable[[], object]:
    control = AdmissionController(AdmissionLimits())
    for _ in range(n):
        control.admit("key", num_prompt_tokens=8, num_output_tokens=8)

    def call() -> None:
        admitted = control.admit("key", num_prompt_tokens=8, num_output_tokens=8)
        if isinstance(admitted, Admitted):
            control.finished(admitted)

    return call


def _vectors(n: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((64, DIM), dtype=np.float32)
    rows = centres[rng.integers(0, 64, n)] + 0.5 * rng.standard_normal((n, DIM), dtype=np.float32)
    index = HNSW(DIM, ef_construction=100)
    index.add(rows)
    queries = cycle(rows[rng.integers(0, n, 256)] + 0.1 * rng.standard_normal((256, DIM), dtype=np.float32))
    return lambda: index.search(next(queries), 10)


def _texts(n: int) -> Callable[[], object]:
    """Two words of which a fixed share of the texts has each, so that n counts postings as well as texts."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(64)]
    index = InvertedIndex()
    for start in range(0, n, 10_000):
        drawn = rng.integers(0, len(words), (min(10_000, n - start), WORDS_PER_TEXT))
        index.add(np.arange(start, start + len(drawn)), [" ".join(words[i] for i in row) for row in drawn])
    queries = cycle(f"w{a} w{b}" for a, b in rng.integers(0, len(words), (256, 2)))
    return lambda: index.search(next(queries), 10)


def _sketch(n: int) -> Callable[[], object]:
    sketch = CountMinSketch(2719, 5)
    sketch.add_batch(np.arange(n))
    keys = _any_of(n)
    return lambda: sketch.estimate(next(keys))


def _any_of(n: int) -> Iterator[int]:
    return cycle(np.random.default_rng(1).integers(0, n, 1 << 16).tolist())


def _draws() -> Iterator[float]:
    return cycle(np.random.default_rng(2).random(1 << 16).tolist())


OPERATIONS = (
    Operation("PagedAllocator", "allocate and free a page", "1", "pages", _pages, units=8),
    Operation("KVCache", "attach a page that is shared", "1", "pages", _attach, 8, 4_096, units=None),
    Operation("KVCache", "get a page", "1", "pages", _get, 8, 4_096, units=None),
    Operation("TokenLRU", "get or put", "1", "entries", _lru),
    Operation("TokenBudget", "reserve and release", "1", "owners", _budget),
    Operation("IndexedHeap", "pop and push", "log n", "entries", _push_pop),
    Operation("IndexedHeap", "update", "log n", "entries", _update),
    Operation("AdmissionController", "admit and finish", "1", "requests", _admission, largest=100_000),
    Operation("HNSW", "search", "log n", "vectors", _vectors, largest=70_000),
    Operation("InvertedIndex", "search for two words", "n", "texts", _texts),
    Operation("CountMinSketch", "estimate", "1", "keys counted", _sketch),
)
