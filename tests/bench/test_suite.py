"""The suite asks for benchmarks that there are, with parameters that they have, and outlives each of them."""

import re
from pathlib import Path

import pytest

from quire.bench.registry import find_benchmarks
from quire.bench.results import Report
from quire.bench.suite import SUITE, Run, run_suite


@pytest.mark.parametrize("run", SUITE, ids=lambda run: run.benchmark)
def test_each_run_is_of_a_benchmark_that_takes_its_arguments(run: Run) -> None:
    benchmark = find_benchmarks()[run.benchmark]
    types = {parameter.name: parameter.type for parameter in benchmark.parameters}
    for name, value in run.arguments.items():
        assert types[name] in (type(value), tuple[int, ...])
    assert run.repetitions >= 1


def test_what_the_paper_needs_is_in_it() -> None:
    assert {"cache", "scheduler", "hnsw", "growth", "indexed_heap"} <= {run.benchmark for run in SUITE}


def test_one_that_fails_takes_no_other_with_it_and_leaves_nothing_old(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nowhere.json").write_text("of another day")
    heap = Run("indexed_heap", 1, 0, {"num_entries": 50}, traces_memory=True)
    failed = run_suite([Run("nowhere"), heap], tmp_path)
    assert [command.split()[:3] for command in failed] == [["quire", "bench", "nowhere"]]
    assert sorted(path.name for path in tmp_path.glob("*.[jc]s*")) == ["indexed_heap.csv", "indexed_heap.json"]
    results = Report.load(tmp_path / "indexed_heap.json").results
    assert {result.params["entries"] for result in results if result.name == "entries"} == {50}
    told = capfd.readouterr().out
    assert f"$ quire {' '.join(heap.command(tmp_path))}\n" in told
    assert re.search(r"^nowhere: \d+ s, exit code 2$", told, re.MULTILINE)
