"""Memory over time goes up with what is held, of children too, and never has too many points."""

import subprocess
import sys

import pytest

from quire.bench.harness import Case, Measurement, measure
from quire.bench.machine import memory
from quire.bench.machine.memory import MemoryTrace
from tests.patience import wait_until

HOLD = "held = bytearray(b'x') * (80 << 20); print(flush=True); input()"
IS_TOLD = sys.platform == "linux"
"""Elsewhere nobody says what others hold."""


class CountedLooks(MemoryTrace):
    num_looks = 0

    def _look(self) -> None:
        super()._look()
        self.num_looks += 1


def test_what_a_child_holds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PERIOD_S", 0.01)
    with MemoryTrace() as trace:
        wait_until(lambda: bool(trace.points) or not IS_TOLD)
        before = trace.peak_anonymous_bytes
        child = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        wait_until(lambda: trace.peak_anonymous_bytes >= before + (80 << 20) or not IS_TOLD)
        child.communicate(b"\n")
    if IS_TOLD:
        assert trace.peak_anonymous_bytes <= trace.peak_bytes
        times = [seconds for seconds, _ in trace.points]
        assert times == sorted(times)


def test_points_of_a_long_run_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PERIOD_S", 0.001)
    monkeypatch.setattr(memory, "MAX_POINTS", 8)
    with CountedLooks() as trace:
        wait_until(lambda: trace.num_looks >= 20)  # thinned three times: after 8 ms, 16 ms and 32 ms, if not later
    if IS_TOLD:
        assert 4 <= len(trace.points) <= 8
        assert trace.points[-1][0] > 0.05


def test_a_result_has_the_trace_of_its_last_repetition_if_asked() -> None:
    case = Case("hold", lambda: Measurement({"n": 1}))
    (without,) = measure([case], repetitions=1, warmup=0)
    (traced,) = measure([case], repetitions=2, warmup=0, traces_memory=True)
    assert without.memory == []
    assert bool(traced.memory) == IS_TOLD
    assert all(resident > 1 << 20 for _, resident in traced.memory)
