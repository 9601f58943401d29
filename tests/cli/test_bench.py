import json
from pathlib import Path

import pytest

from quire.bench.harness import Case, Measurement
from quire.bench.registry import Benchmark
from quire.bench.results import Report
from quire.cli.bench import run_benchmark
from quire.errors import ConfigError


class Counting(Benchmark):
    """Counts its runs; each repetition's value is the number of runs so far."""

    def cases(self, arguments: object) -> list[Case]:
        runs: list[None] = []

        def run() -> Measurement:
            runs.append(None)
            return Measurement({"runs": len(runs)})

        return [Case("count", run)]

    def explain(self, report: object) -> str:
        return "bounded by [counting]"


COUNTING = Counting("counting", "nowhere", "Counts.", ())


def run(json_path: Path | None = None, csv_path: Path | None = None, compare_path: Path | None = None) -> None:
    run_benchmark(
        COUNTING,
        {},
        repetitions=3,
        warmup=2,
        json_path=json_path,
        csv_path=csv_path,
        compare_path=compare_path,
    )


def test_results_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "deep" / "r.json", tmp_path / "r.csv")
    (result,) = Report.load(tmp_path / "deep" / "r.json").results
    assert result.values == {"runs": [3, 4, 5]}
    assert (tmp_path / "r.csv").read_text().splitlines()[1].startswith("count,quire,{},runs,3,4.0,1.0,4.0,")
    assert "bounded by [counting]" in capsys.readouterr().out


def test_an_earlier_result_is_held_against_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "old.json")
    run(compare_path=tmp_path / "old.json")
    assert "1.000" in capsys.readouterr().out


def test_a_file_that_cannot_be_compared_with_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(ConfigError, match="schema is 99"):
        run(compare_path=tmp_path / "old.json")
    with pytest.raises(ConfigError, match="No such file"):
        run(compare_path=tmp_path / "none.json")
