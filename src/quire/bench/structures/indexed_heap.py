"""A priority queue called one operation at a time: IndexedHeap beside pqdict and heapq with lazy deletion.

Case entries: push `entries` keys with random priorities, change every priority once in random order, pop them all.
`pip install pqdict` to see it beside ours; heapq is always there.
"""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from importlib.util import find_spec
from itertools import count, repeat
from random import Random
from time import perf_counter
from typing import Any, NamedTuple

from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.scheduling.indexed_heap import IndexedHeap


class Queue(NamedTuple):
    """The three calls of one library, as its users write them."""

    push: Callable[[Any, float], object]
    update: Callable[[Any, float], object]
    pop: Callable[[], object]


def cases(*, num_entries: tuple[int, ...] = (100_000,), quick: bool = False) -> list[Case]:
    sides = {"quire": _quire, "heapq": _heapq_with_lazy_deletion}
    if find_spec("pqdict"):
        sides["pqdict"] = _pqdict
    sizes = (1_000,) if quick else num_entries
    return [Case("entries", _rates(side, n), {"entries": n}, name) for n in sizes for name, side in sides.items()]


def explain(report: Report) -> str:
    """How many times each peer's rate ours is."""
    lines = []
    for ours in report.results:
        for peer in report.results:
            if ours.side == "quire" != peer.side and ours.params == peer.params:
                ratios = (
                    f"{metric.split('_')[0]} {ours.summary(metric).median / peer.summary(metric).median:.1f}x"
                    for metric in ours.values
                )
                lines.append(f"{ours.params['entries']} entries, of the rate of {peer.side}: {', '.join(ratios)}")
    return "\n".join([*lines, "Bound by memory latency (a heap is random access) and, for push, by the call itself."])


def _rates(make: Callable[[], Queue], num_entries: int) -> Callable[[], Measurement]:
    rnd = Random(0)
    keys = list(range(num_entries))
    shuffled = rnd.sample(keys, num_entries)
    first, second = ([rnd.random() for _ in keys] for _ in range(2))

    def run() -> Measurement:
        queue = make()
        seconds = {
            "push_per_s": _time_each(queue.push, keys, first),
            "update_per_s": _time_each(queue.update, shuffled, second),
            "pop_per_s": _time_pops(queue.pop, num_entries),
        }
        return Measurement({metric: num_entries / spent for metric, spent in seconds.items()})

    return run


def _time_each(call: Callable[[Any, float], object], keys: list[int], priorities: list[float]) -> float:
    start = perf_counter()
    for key, priority in zip(keys, priorities, strict=True):
        call(key, priority)
    return perf_counter() - start


def _time_pops(pop: Callable[[], object], num_entries: int) -> float:
    start = perf_counter()
    for _ in repeat(None, num_entries):
        pop()
    return perf_counter() - start


def _quire() -> Queue:
    heap = IndexedHeap[int]()
    return Queue(heap.push, heap.update, heap.pop)


def _pqdict() -> Queue:
    from pqdict import pqdict  # a peer, present only where somebody measures

    queue = pqdict()
    return Queue(queue.additem, queue.updateitem, queue.popitem)


def _heapq_with_lazy_deletion() -> Queue:
    """The recipe of Python's own documentation: an update marks the old entry as removed and pushes a new one."""
    heap: list[list[Any]] = []
    entries: dict[Any, list[Any]] = {}
    order: Iterator[int] = count()
    removed = object()

    def push(key: Any, priority: float) -> None:
        entries[key] = entry = [priority, next(order), key]
        heappush(heap, entry)

    def update(key: Any, priority: float) -> None:
        entries.pop(key)[2] = removed
        push(key, priority)

    def pop() -> Any:
        while True:
            priority, _, key = heappop(heap)
            if key is not removed:
                del entries[key]
                return key, priority

    return Queue(push, update, pop)
