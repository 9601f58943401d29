import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from quire.bench.harness import Result
from quire.bench.results import Report, compare, number

ENVIRONMENT = {"cpu": "abacus", "physical_cores": 2, "hash": "c0ffee", "commit": "abc"}


def result(values: list[float], side: str = "quire", **params: int) -> Result:
    return Result("sum", side, dict(params), {"call_us": values}, {}, 5_000_000, 2_000_000, 0.0)


def report(*results: Result, **facts: object) -> Report:
    return Report("adding", list(results), ENVIRONMENT | facts, "2026-01-02T03:04:05+00:00")


def shown(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(table)
    return out.getvalue()


def test_json_reads_back_as_the_same_report() -> None:
    one = result([1.0, 2.0], n=3)
    one.samples["wait_ms"] = [1.0, 5.0]
    written = report(one, result([4.0], side="peer"))
    assert Report.from_json(written.to_json()) == written


def test_json_holds_the_statistics_and_null_for_what_is_unknown() -> None:
    two, one = json.loads(report(result([1.0, 3.0]), result([4.0], side="peer")).to_json())["results"]
    # mean 2, sd sqrt(2), interval 2 ± 12.706 * sqrt(2) / sqrt(2)
    assert two["metrics"]["call_us"]["mean"] == 2
    assert two["metrics"]["call_us"]["ci95_high"] == pytest.approx(14.706, abs=1e-3)
    assert two["metrics"]["call_us"]["is_flaky"] is True
    assert one["metrics"]["call_us"]["sd"] is None


def test_of_many_samples_the_file_keeps_the_distribution() -> None:
    one = result([1.0])
    one.samples["wait_ms"] = [float(i * 7919 % 50_000) for i in range(50_000)]
    written = report(one).to_json()
    (saved,) = json.loads(written)["results"]
    assert saved["samples"]["wait_ms"]["count"] == 50_000
    kept = saved["samples"]["wait_ms"]["values"]
    assert (len(kept), kept[0], kept[-1]) == (1001, 0, 49_999)
    (read,) = Report.from_json(written).results
    assert read.percentiles("wait_ms") == pytest.approx(one.percentiles("wait_ms"), rel=1e-3)


def test_csv_has_a_line_per_metric() -> None:
    (row,) = csv.DictReader(io.StringIO(report(result([1.0, 3.0], n=7)).to_csv()))
    assert (row["case"], row["side"], json.loads(row["params"])) == ("sum", "quire", {"n": 7})
    assert (row["count"], row["mean"], row["median"]) == ("2", "2.0", "2.0")


def test_table_names_the_machine_the_sizes_the_side_and_the_spread() -> None:
    text = shown(report(result([10.0, 10.0, 10.0], side="peer", n=7)).table())
    for part in ("adding", "abacus", "c0ffee", "sum (peer) n=7", "10 ± 0", "10 … 10", "0.0%", "5 MB", "+2 MB"):
        assert part in text
    assert "flaky" not in text


def test_table_says_what_makes_its_numbers_doubtful() -> None:
    doubtful = result([1.0, 2.0])
    doubtful.other_cpus = 1.5
    text = shown(report(doubtful).table())
    assert "47.1% *" in text
    assert "up to 1.5 cores busy" in text


def test_compare_gives_the_ratio_and_whether_intervals_are_apart() -> None:
    old = report(result([10.0, 10.1, 9.9], n=1), result([10.0, 20.0], n=2), result([1.0], n=3))
    new = report(result([5.0, 5.1, 4.9], n=1), result([20.0, 10.0], n=2), result([1.0], n=4))
    text = shown(compare(new, old))
    assert [line.split()[1:] for line in text.splitlines() if "call_us" in line] == [
        ["10", "5", "0.500", "apart"],
        ["15", "15", "1.000", "overlap"],
    ]
    assert "same environment" in text


def test_compare_says_what_differs_between_the_machines() -> None:
    text = shown(compare(report(result([1.0])), report(result([1.0]), cpu="slide rule")))
    assert "cpu: abacus here, slide rule there" in text


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 0}', '{"schema": 1}', "[1]"])
def test_a_file_that_is_no_report_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"old\.json is not a saved benchmark report"):
        Report.load(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "–"),
        (0.0123456, "0.01235"),
        (12.345, "12.35"),
        (9876.5, "9,876"),
        (12345.6, "12.35k"),
        (3377467, "3.377M"),
        (0.0, "0"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_a_number_of_few_digits_is_written_out() -> None:
    assert [number(value, 2) for value in (0.0123, 1.26, 113, 99_400, 110_400)] == [
        "0.012",
        "1.3",
        "110",
        "99k",
        "110k",
    ]


def test_samples_are_shown_by_their_percentiles_and_no_name_is_cut_in_eighty_columns() -> None:
    long = Result("serve", "quire", {"requests": 32}, {"output_tokens_per_s": [1e6 / 3, 2e6 / 3]})
    long.samples["inter_token_latency_ms"] = [float(x) for x in range(101)]
    text = shown(report(long).table())
    assert "output_tokens_per_s" in text
    assert [line.split()[1:3] for line in text.splitlines() if "inter_token_latency_ms" in line] == [
        ["p50", "50"],
        ["p95", "95"],
        ["p99", "99"],
    ]
