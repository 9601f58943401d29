"""What `quire bench all` runs: sizes and repetitions that together take under 15 minutes on two cores.

Each in a process of its own, so that none meets what another one left in memory, and one that fails or is killed takes
no other with it. Left out is what needs documents or a peer's checkout, and what a user asks last: `bm25`, `kernels`
and others are run by themselves.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

Argument: TypeAlias = int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Run:
    benchmark: str
    repetitions: int = 3
    warmup: int = 1
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    traces_memory: bool = False

    def command(self, out: Path) -> list[str]:
        """What to ask of `quire`; results and pictures go into `out`."""
        return [
            "bench",
            self.benchmark,
            *(f"--{name.replace('_', '-')}={_typed(value)}" for name, value in self.arguments.items()),
            f"--repetitions={self.repetitions}",
            f"--warmup={self.warmup}",
            *(["--memory"] if self.traces_memory else []),
            *(f"--{path.suffix[1:]}={path}" for path in self.files(out)),
            f"--plot={out}",
        ]

    def files(self, out: Path) -> list[Path]:
        return [out / f"{self.benchmark}{suffix}" for suffix in (".json", ".csv")]


SUITE = (
    Run("engine", 2, arguments={"weights": "int8"}, traces_memory=True),
    Run("overhead"),
    Run("growth", arguments={"seconds": 0.05}),
    Run("indexed_heap"),
    Run("cache"),
    Run("scheduler", 2),
    Run("count_min", arguments={"num_keys": 200_000}),
    Run("hnsw", arguments={"sizes": (20_000,), "efs": (20, 50, 100)}),
    Run("slo", 2, warmup=0),
    Run("overload", 1, warmup=0, arguments={"seconds": 30.0}),
)


def run_suite(runs: Sequence[Run], out: Path) -> list[str]:
    """Runs one after the other, whatever becomes of the one before, and says so. The commands of those that failed."""
    return [shlex.join(["quire", *run.command(out)]) for run in runs if not _succeeds(run, out)]


def _succeeds(run: Run, out: Path) -> bool:
    for path in run.files(out):
        path.unlink(missing_ok=True)  # what an earlier run left must not pass for what this one found
    command = run.command(out)
    print(f"$ {shlex.join(['quire', *command])}", flush=True)
    begin_s = perf_counter()
    status = subprocess.run([sys.executable, "-m", "quire.cli", *command], check=False).returncode
    print(f"{run.benchmark}: {perf_counter() - begin_s:.0f} s, exit code {status}\n", flush=True)
    return status == 0


def _typed(value: Argument) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
