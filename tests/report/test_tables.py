"""Tables have the numbers of the result files, and stand where the marks are."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.bench.harness import Result
from quire.bench.results import Report
from quire.cli.app import app
from quire.errors import ConfigError
from quire.report.architecture.house import find_contract
from quire.report.evidence import Evidence, MissingResultError
from quire.report.tables import beside, numbers
from quire.report.tables.markdown import as_table, put_between_marks
from tests.report.results import ENVIRONMENT, write_results


def test_a_table_goes_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- claims -->\nold\n<!-- /claims -->\nafter\n")
    put_between_marks(page, as_table(("a", ""), [("1", "2")]), "claims")
    assert page.read_text() == "before\n<!-- claims -->\n| a | |\n| --- | --- |\n| 1 | 2 |\n<!-- /claims -->\nafter\n"
    with pytest.raises(ConfigError, match=r"page\.md has no place for the table; write <!-- numbers -->"):
        put_between_marks(page, "", "numbers")


def engine(weights: str, decode: float) -> Report:
    values = {"first_token_s": [0.1], "decode_tokens_per_s": [decode]}
    results = [
        Result("a", "quire", {"weights": weights}, values),
        Result("d", "quire", {"weights": weights}, {"cold_s": [2.5], "warm_s": [1.5]}),
    ]
    return Report("engine", results, ENVIRONMENT | {"commit": "abc"}, "2026-01-02T03:04:05+00:00")


def peers() -> Report:
    """As benchmarks/peers.py writes it."""
    measured = {"decode_tok_s": [40.0, 44.0, 42.0], "ttft_s": [0.2]}
    return Report(
        "peers",
        [
            Result("a", "llama.cpp-q8_0", {"version": "b1"}, measured, other_cpus=0.7),
            Result("d", "llama.cpp-q8_0", {"version": "b1"}, {"wall_cold_s": [5.0], "wall_warm_prefix_s": [1.25]}),
            Result("a", "vllm-bf16", {"version": "unknown", "error": "it said no"}),
        ],
        ENVIRONMENT | {"cpu": "Slide Rule"},
        "2026-02-03T00:00:00+00:00",
    )


def test_ours_and_a_peers_lines_stand_in_one_table(tmp_path: Path) -> None:
    assert beside.as_markdown([engine("int8", 30.0), engine("bf16", 15.0), peers()]).splitlines() == [
        "| | quire-int8 | quire-bf16 | llama.cpp-q8_0 | vllm-bf16 |",
        "| --- | --- | --- | --- | --- |",
        "| a: one stream, 128 in and out, first_token_s | 0.1 | 0.1 | 0.2 | – |",
        "| a: one stream, 128 in and out, decode_tokens_per_s | 30 | 15 | 42 | – |",
        "| d: 16 requests over one prefix, cold_s | 2.5 | 2.5 | 5 | – |",
        "| d: 16 requests over one prefix, warm_s | 1.5 | 1.5 | 1.25 | – |",
        "",
        "- engine, 2026-01-02: Abacus 3000, 7 cores, Quire abc",
        "- engine, 2026-01-02: Abacus 3000, 7 cores, Quire abc",
        "- peers, 2026-02-03: Slide Rule, 7 cores, Quire of no commit; others kept up to 0.7 cores busy",
    ]
    for report, name in ((engine("int8", 30.0), "ours"), (peers(), "theirs")):
        (tmp_path / f"{name}.json").write_text(report.to_json())
    files = [str(tmp_path / "ours.json"), str(tmp_path / "theirs.json")]
    told = CliRunner().invoke(app, ["report", "beside", *files])
    assert told.output.startswith("| | quire-int8 | llama.cpp-q8_0 | vllm-bf16 |\n")
    assert CliRunner().invoke(app, ["report", "beside", str(tmp_path / "none.json")]).exit_code == 2


def test_searches_stand_beside_each_other_by_their_sizes() -> None:
    results = [
        Result("search", side, {"ef": ef}, {"recall": [0.9 + ef / 1000]})
        for ef in (20, 40)
        for side in ("quire", "faiss")
    ]
    table = beside.as_markdown([Report("hnsw", results, ENVIRONMENT, "2026-01-02")]).splitlines()
    assert table[2:4] == ["| search, ef 20, recall | 0.92 | 0.92 |", "| search, ef 40, recall | 0.94 | 0.94 |"]


def test_a_number_that_nobody_measured_names_its_command(tmp_path: Path) -> None:
    write_results(tmp_path)
    with pytest.raises(MissingResultError, match="quire bench engine --json"):
        numbers.as_markdown(Evidence.load(tmp_path))


def test_the_readme_says_what_the_saved_results_say() -> None:
    root = find_contract().parent
    table = numbers.as_markdown(Evidence.load(root / "benchmarks" / "results"))
    said = "run `quire report numbers --results benchmarks/results --into README.md`"
    assert table in (root / "README.md").read_text(), said
