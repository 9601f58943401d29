"""The script that runs peers beside us, around drivers that only say what they were asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from quire.bench.results import Report

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "peers.py"
OURS = """
import json, sys
from pathlib import Path
case, asked = sys.argv[sys.argv.index("--case") + 1], Path(__file__).with_name("asked")
asked.open("a").write(f"ours {case}\\n")
speed = {1: 10.0, 4: 30.0, 5: 20.0}[len(asked.read_text().splitlines())]
print("chatter")
for name in case:
    print(json.dumps({"case": name, "version": "quire 9", "other_cpus": speed / 100,
                      "decode_tok_s": {"median": speed}, "ttft_s": {"median": 1 / speed},
                      "prefill_tok_s": {"median": 7 * speed}}))
"""
THEIRS = """
import json, sys
from pathlib import Path
case, asked = sys.argv[sys.argv.index("--case") + 1], Path(__file__).with_name("asked")
asked.open("a").write(f"theirs {case}\\n")
print(json.dumps({"case": "a", "version": "b9", "decode_tok_s": {"median": 5.0}, "ttft_s": {"median": 0.5}}))
sys.exit("no memory for b")
"""


def run(directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--sides", "quire-int8,llama.cpp-q8_0", "--cases", "ab"]
    for name in ("drivers", "home", "model", "gguf"):
        command += [f"--{name}", str(directory)]
    command += ["--log", str(directory / "runs"), "--out", str(directory / "report.json"), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def drivers(tmp_path: Path) -> Path:
    (tmp_path / "bench_quire.py").write_text(OURS)
    (tmp_path / "bench_llamacpp.py").write_text(THEIRS)
    return tmp_path


def test_sides_take_turns_and_the_table_has_medians(drivers: Path) -> None:
    done = run(drivers)
    assert done.returncode == 0, done.stderr
    asked = (drivers / "asked").read_text().split("\n")
    assert asked[:6] == ["ours ab", "theirs ab", "theirs ab", "ours ab", "ours ab", "theirs ab"]
    assert done.stdout.splitlines() == [
        "|  | quire-int8 | llama.cpp-q8_0 |",
        "| --- | --- | --- |",
        "| a decode_tok_s | 20 | 5 |",
        "| a ttft_s | 0.05 | 0.5 |",
        "| b prefill_tok_s | 140 | – |",
    ]
    found = {(result.name, result.side): result for result in Report.load(drivers / "report.json").results}
    assert found["a", "quire-int8"].values["decode_tok_s"] == [10.0, 30.0, 20.0]
    assert found["a", "quire-int8"].other_cpus == 0.3
    assert "no memory for b" in str(found["b", "llama.cpp-q8_0"].params["error"])
    assert found["b", "llama.cpp-q8_0"].values == {}


def test_what_is_in_the_log_is_not_measured_again(drivers: Path) -> None:
    stopped = run(drivers, "--seconds", "0")
    assert "out of time" in stopped.stderr
    assert not (drivers / "report.json").exists()
    assert run(drivers).returncode == 0
    asked, log = (drivers / "asked").read_text(), (drivers / "runs").read_text()
    assert run(drivers).returncode == 0
    assert (drivers / "asked").read_text() == asked
    assert (drivers / "runs").read_text() == log
    assert [json.loads(line)["turn"] for line in log.splitlines()] == [0] * 4 + [1] * 4 + [2] * 4


def test_an_unknown_side_is_refused(drivers: Path) -> None:
    done = run(drivers, "--sides", "quire-int9")
    assert done.returncode == 2
    assert "'quire-int9' is no side or case; sides: quire-int8" in done.stderr
