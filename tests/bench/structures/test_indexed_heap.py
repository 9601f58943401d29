"""The sides of the comparison must do the same work."""

from random import Random

import pytest

from quire.bench.harness import measure
from quire.bench.results import Report
from quire.bench.structures import indexed_heap


@pytest.mark.parametrize("make", [indexed_heap._quire, indexed_heap._heapq_with_lazy_deletion])
def test_a_side_pops_every_key_once_by_its_last_priority(make):
    rnd = Random(3)
    queue, last = make(), {}
    for key in range(200):
        queue.push(key, rnd.random())
    for key in rnd.choices(range(200), k=500):
        last[key] = rnd.random()
        queue.update(key, last[key])
    for key in range(200):
        if key not in last:
            last[key] = rnd.random()
            queue.update(key, last[key])
    popped = [queue.pop() for _ in range(200)]
    assert popped == sorted(last.items(), key=lambda item: item[1])


def test_the_ratio_is_ours_over_theirs():
    report = Report("indexed_heap", measure(indexed_heap.cases(quick=True), repetitions=1, warmup=0), environment={})
    for result in report.results:
        factor = 6.0 if result.side == "quire" else 2.0
        result.values = {metric: [factor] for metric in result.values}
    assert "1000 entries, of the rate of heapq: push 3.0x, update 3.0x, pop 3.0x" in indexed_heap.explain(report)
