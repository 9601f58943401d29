"""Quire and its peers on the same cases, in turns, on one machine: a table, and a file for benchmarks/results.

    python benchmarks/peers.py --drivers DIR --home DIR --model DIR --gguf DIR --log runs.jsonl --out result.json

`--drivers` has a `bench_ENGINE.py` per engine, which takes `--model --case --repeat --threads --opt` and prints a JSON
line per case; `--home` the peers' virtual environments (`venvs/NAME`) and llama.cpp's build. Weights are those of one
model: bf16 in `--model`, quantised for each peer by its own tools (`MODEL-w8a8`, `MODEL-ov-int8`, `--gguf`).

Sides take turns, one round after the other and every second round backwards, so that a slow minute of the machine meets
all of them. A side's turn is one process; what it says is kept in `--log`, case by case, and is not measured again, so
the whole may be done in pieces (`--seconds`). Neighbours' load is kept with each number, a failure as what it said. The
eager sides of vLLM do without its compiler.

    a  one stream: 128 tokens in, 128 out                      b  the first token of a 1,024-token prompt
    c  32 requests at once: 100 to 512 in, 32 to 128 out       d  16 requests that share 1,024 tokens, cold then warm
    e  a fresh process to its first token, and its memory
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.bench.harness import Result
from quire.bench.results import Report


@dataclass(frozen=True, slots=True)
class Side:
    driver: str
    python: str
    """Of which virtual environment under --home; empty: this one."""
    model: str
    options: tuple[str, ...] = ()


SIDES = {
    **{f"quire-{kind}": Side("quire", "", "{model}", (f"quant={kind}",)) for kind in ("int8", "int4")},
    "quire-bf16": Side("quire", "", "{model}"),
    **{f"llama.cpp-{kind}": Side("llamacpp", "", "{gguf}", (f"quant={kind}",)) for kind in ("q8_0", "q4_0", "bf16")},
    "openvino-int8": Side("openvino", "ov", "{model}-ov-int8"),
    "vllm-w8a8": Side("vllm", "vllm", "{model}-w8a8", ("kv=3",)),
    "vllm-bf16": Side("vllm", "vllm", "{model}", ("kv=3",)),
    "vllm-w8a8-eager": Side("vllm", "vllm", "{model}-w8a8", ("kv=3", "eager=1")),
    "vllm-bf16-eager": Side("vllm", "vllm", "{model}", ("kv=3", "eager=1")),
    "transformers-bf16": Side("hf", "", "{model}"),
}
METRICS = {
    "a": ("decode_tok_s", "ttft_s"),
    "b": ("prefill_tok_s",),
    "c": ("wall_s",),
    "d": ("wall_cold_s", "wall_warm_prefix_s"),
    "e": ("cold_to_first_token_s", "peak_rss_gib", "peak_anon_gib"),
}


def main() -> None:
    options = _options()
    deadline = time.monotonic() + options.seconds
    for turn, name in _turns(options.sides, options.rounds):
        known = _runs(options.log)
        cases = "".join(case for case in options.cases if (turn, name, case) not in known)
        if cases and time.monotonic() > deadline:
            print("out of time: run again for the rest", file=sys.stderr)
            return
        for run in _run(SIDES[name], cases, options) if cases else ():
            print(
                f"{name} {run['case']}: {[run.get(m, run.get('error')) for m in METRICS[run['case']]]}", file=sys.stderr
            )
            with options.log.open("a") as log:
                log.write(json.dumps(run | {"turn": turn, "side": name}) + "\n")
    report = Report("peers", _results(list(_runs(options.log).values())))
    print(_table(report))
    if options.out:
        options.out.write_text(report.to_json() + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("drivers", "home", "model", "gguf"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True, help="JSON lines, one a run; grows")
    parser.add_argument("--out", type=Path, help="the report, once all runs are there")
    parser.add_argument("--cases", default="abcde")
    parser.add_argument("--sides", default=",".join(SIDES), type=lambda text: text.split(","))
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--threads", default=2, type=int)
    parser.add_argument("--seconds", default=1e9, type=float, help="begin no run after so many")
    parser.add_argument("--limit", default=600, type=float, help="seconds a run may take")
    options = parser.parse_args()
    unknown = [name for name in options.sides if name not in SIDES] + [c for c in options.cases if c not in METRICS]
    if unknown:
        parser.error(f"{unknown[0]!r} is no side or case; sides: {', '.join(SIDES)}; cases: {''.join(METRICS)}")
    return options


def _turns(sides: list[str], rounds: int) -> Iterator[tuple[int, str]]:
    for turn in range(rounds):
        for name in sides if turn % 2 == 0 else sides[::-1]:
            yield turn, name


def _run(side: Side, cases: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What the driver says of each case, or why it says nothing."""
    python = options.home / "venvs" / side.python / "bin/python" if side.python else sys.executable
    command = [str(python), str(options.drivers / f"bench_{side.driver}.py"), "--case", cases, "--repeat", "1"]
    command += ["--model", side.model.format(model=options.model, gguf=options.gguf), "--threads", str(options.threads)]
    for option in side.options:
        command += ["--opt", option]
    environment = {**os.environ, "PEERS_HOME": str(options.home)}
    if side.python:
        environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=errors)
        try:
            process.wait(options.limit)
            reason = f"exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            process.terminate()
            process.wait()
            reason = f"not done after {options.limit:.0f} s"
        out.seek(0)
        errors.seek(0)
        runs = {run["case"]: run for run in map(json.loads, filter(lambda line: line.startswith("{"), out))}
        missing = {"error": f"{reason}: {errors.read().strip()[-300:]}"}
    return [runs.get(case, {"case": case} | missing) for case in cases]


def _runs(log: Path) -> dict[tuple[int, str, str], dict[str, Any]]:
    """The last one of each turn, side and case."""
    runs = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return {(run["turn"], run["side"], run["case"]): run for run in runs}


def _results(runs: list[dict[str, Any]]) -> list[Result]:
    results: dict[tuple[str, str], Result] = {}
    for run in runs:
        name = (run["case"], run["side"])
        params = {"version": str(run.get("version", "unknown"))} | ({"error": run["error"]} if "error" in run else {})
        result = results.setdefault(name, Result(*name, params))
        for metric in METRICS[run["case"]]:
            if metric in run:
                result.values.setdefault(metric, []).append(run[metric]["median"])
        result.other_cpus = max(result.other_cpus or 0.0, run.get("other_cpus", 0.0))
    return list(results.values())


def _table(report: Report) -> str:
    """Markdown: a row per metric, a column per side, medians; a dash where no run succeeded."""
    sides = list(dict.fromkeys(result.side for result in report.results))
    medians = {
        (f"{result.name} {metric}", result.side): result.summary(metric).median
        for result in report.results
        for metric in result.values
    }
    rows = [["", *sides], ["---"] * (len(sides) + 1)]
    rows += [
        [row, *(f"{medians[row, side]:.4g}" if (row, side) in medians else "–" for side in sides)]
        for row in dict.fromkeys(metric for metric, _ in medians)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
