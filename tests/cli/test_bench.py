import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.bench.harness import Case, Measurement
from quire.bench.registry import Benchmark, Parameter, find_benchmarks
from quire.bench.results import Report
from quire.cli.app import app
from quire.cli.bench import bench_app, run_benchmark
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


def test_a_saved_result_is_shown_again(tmp_path: Path) -> None:
    run(tmp_path / "old.json")
    run(tmp_path / "new.json")
    asked = ["bench", "show", str(tmp_path / "new.json"), "--compare", str(tmp_path / "old.json")]
    shown = CliRunner().invoke(app, [*asked, "--csv", str(tmp_path / "r.csv"), "--plot", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "bounded by" not in shown.output  # which some find out by running something
    for told in ("median", "1.000", "counting has nothing to draw"):
        assert told in shown.output
    assert (tmp_path / "r.csv").read_text().count("count,quire,{},runs,3") == 1
    refused = CliRunner().invoke(app, ["bench", "show", str(tmp_path / "r.csv")])
    assert (refused.exit_code, "is not a saved benchmark report" in refused.output) == (2, True)


def test_a_file_that_cannot_be_compared_with_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(ConfigError, match="schema is 99"):
        run(compare_path=tmp_path / "old.json")
    with pytest.raises(ConfigError, match="No such file"):
        run(compare_path=tmp_path / "none.json")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--n=0", "n is 0; allowed: whole numbers from 1 up."),
        ("--threads=-1", "threads is -1; allowed: whole numbers from 0 up."),
        ("--sizes=5,-1", "sizes is '5,-1'; allowed: whole numbers above 0"),
        ("--sizes=5,x", "sizes is '5,x'; allowed: whole numbers above 0"),
    ],
)
def test_a_size_that_is_none_is_refused(flag: str, words: str) -> None:
    parameters = (Parameter("n", int, 3), Parameter("threads", int, 0), Parameter("sizes", tuple[int, ...], (1, 2)))
    result = CliRunner().invoke(bench_app(Counting("counting", "tests", "Counts.", parameters)), [flag])
    assert isinstance(result.exception, ConfigError)
    assert words in str(result.exception)


@pytest.mark.parametrize("flag", ["--json", "--csv", "--plot"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").write_text("in the way")
    benchmark = Counting("counting", "tests", "Counts.", ())
    result = CliRunner().invoke(bench_app(benchmark), [flag, str(tmp_path / "file" / "x")])
    assert isinstance(result.exception, ConfigError)
    assert "x cannot be written: " in str(result.exception)
    assert "count" not in result.output


def test_a_benchmark_takes_its_sizes_and_the_common_flags(tmp_path: Path) -> None:
    received: dict[str, object] = {}

    class Sized(Counting):
        def cases(self, arguments: object) -> list[Case]:
            received.update(arguments)  # type: ignore[call-overload]
            return super().cases(arguments)

    parameters = (Parameter("n", int, 3), Parameter("sizes", tuple[int, ...], (1, 2)), Parameter("quick", bool, False))
    command = bench_app(Sized("sized", "nowhere", "Sizes.", parameters))
    out = tmp_path / "r.json"
    result = CliRunner().invoke(command, ["--n", "5", "--quick", "--repetitions", "2", "--json", str(out)])
    assert result.exit_code == 0, result.output
    assert received == {"n": 5, "sizes": (1, 2), "quick": True}
    assert Report.load(out).results[0].values == {"runs": [2, 3]}
    assert "allowed: whole numbers" in str(CliRunner().invoke(command, ["--sizes", "1,x"]).exception)
    for given, sizes in (("10k,2M", (10_000, 2_000_000)), ("", ())):
        assert CliRunner().invoke(command, ["--sizes", given, "--repetitions", "1"]).exit_code == 0
        assert received["sizes"] == sizes


def test_every_benchmark_of_the_package_has_a_help_page() -> None:
    for name in [*find_benchmarks(), "all", "download", "show"]:
        result = CliRunner().invoke(app, ["bench", name, "--help"])
        assert result.exit_code == 0, result.output


def test_a_benchmark_with_nothing_to_draw_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = Counting("counting", "quire.bench.stats", "Counts.", ())
    run_benchmark(
        benchmark,
        {},
        repetitions=1,
        warmup=0,
        json_path=None,
        csv_path=None,
        compare_path=None,
        plot_dir=tmp_path,
    )
    assert "counting has nothing to draw" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
