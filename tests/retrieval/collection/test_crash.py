"""Whenever it ends, however it ends, what was acknowledged is there and nothing is half-done.

The scenario (crash/scenario.py) runs with its calls to the file system watched (crash/faults.c). Then, for every call:
the disk as a kill or a power cut at this call may leave it (crash/disk.py) is opened and checked; a process is really
killed at it; it fails, alone or with all that need space after it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.retrieval.collection.crash import scenario
from tests.retrieval.collection.crash.disk import read_trace

HERE = Path(__file__).parent / "crash"


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    built = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", built, HERE / "faults.c", "-ldl"], check=True)
    return built


def drive(library: Path, folder: Path, mode: str, every: int = 1) -> int:
    """What crash/driver.py counts."""
    paths = [str(Path(__file__).parents[3]), *sys.path]
    alone = {"OMP_NUM_THREADS": "1"}  # the child of a fork has no other threads, and would wait for them
    told = subprocess.run(
        [sys.executable, "-m", "tests.retrieval.collection.crash.driver", library, folder, mode, str(every)],
        env=os.environ | alone | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    return int(told.stdout)


def test_whatever_a_kill_or_a_power_cut_leaves_is_whole(library, tmp_path) -> None:
    num_calls = drive(library, tmp_path, "watch")
    trace = read_trace(tmp_path / "trace", tmp_path / "root")
    assert len(trace) == num_calls + len(scenario.STEPS) + 1
    assert drive(library, tmp_path, "replay", 4) > num_calls


@pytest.mark.parametrize(("mode", "every"), [("kill", 4), ("full", 3), ("broken", 3)])
def test_dying_and_failing_at_a_call(library, tmp_path, mode, every) -> None:
    assert drive(library, tmp_path, mode, every) > 300 // every
