"""The suite asks for benchmarks that there are, with parameters that they have."""

import pytest

from quire.bench.registry import find_benchmarks
from quire.bench.suite import SUITE, Run


@pytest.mark.parametrize("run", SUITE, ids=lambda run: run.benchmark)
def test_each_run_is_of_a_benchmark_that_takes_its_arguments(run: Run) -> None:
    benchmark = find_benchmarks()[run.benchmark]
    types = {parameter.name: parameter.type for parameter in benchmark.parameters}
    for name, value in run.arguments.items():
        assert types[name] in (type(value), tuple[int, ...])
    assert run.repetitions >= 1


def test_what_the_paper_needs_is_in_it() -> None:
    assert {"cache", "scheduler", "hnsw", "growth", "indexed_heap"} <= {run.benchmark for run in SUITE}
