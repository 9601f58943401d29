"""Counting a stream of query strings: CountMinSketch in batches and one by one, beside Apache DataSketches.

Case count: the same 1,000,000 strings drawn from a Zipf distribution, into sketches of the same width and depth.
"""

from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter

import numpy as np

from quire.bench.harness import Case, Measurement
from quire.retrieval.count_min import CountMinSketch

DEPTH = 5


def cases(*, num_keys: int = 1_000_000, width: int = 2719, quick: bool = False) -> list[Case]:
    keys = _queries(100_000 if quick else num_keys)
    params = {"keys": len(keys), "width": width, "depth": DEPTH}
    sides = {
        "quire": _batched(width),
        "quire one by one": _one_by_one(width),
        "quire 100 hitters": _batched(width, 100),
    }
    if find_spec("datasketches"):
        sides["datasketches"] = _datasketches(width)
    return [Case("count", _rate(count, keys), params, side) for side, count in sides.items()]


def _queries(num_keys: int) -> list[str]:
    return [f"query number {rank}" for rank in np.random.default_rng(0).zipf(1.2, num_keys).clip(max=10**6)]


def _rate(count: Callable[[list[str]], object], keys: list[str]) -> Callable[[], Measurement]:
    def run() -> Measurement:
        start = perf_counter()
        count(keys)
        return Measurement({"keys_per_s": len(keys) / (perf_counter() - start)})

    return run


def _batched(width: int, num_hitters: int = 0) -> Callable[[list[str]], object]:
    return lambda keys: CountMinSketch(width, DEPTH, num_hitters=num_hitters).add_batch(keys)


def _one_by_one(width: int) -> Callable[[list[str]], object]:
    def count(keys: list[str]) -> None:
        add = CountMinSketch(width, DEPTH).add
        for key in keys:
            add(key)

    return count


def _datasketches(width: int) -> Callable[[list[str]], object]:
    from datasketches import count_min_sketch  # a peer, present only where somebody measures

    def count(keys: list[str]) -> None:
        update = count_min_sketch(DEPTH, width).update
        for key in keys:
            update(key)

    return count
