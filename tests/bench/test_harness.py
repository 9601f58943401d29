"""Order, counts and what is thrown away are checked with cases that write down when they ran."""

import io
import sys

import pytest
from rich.console import Console

from quire.bench.harness import Case, Measurement, measure, timed


def logged(name: str, log: list[str], **fields: object) -> Case:
    def run() -> Measurement:
        log.append(name)
        return Measurement({"turn": len(log)})

    return Case("race", run, side=name, close=lambda: log.append(f"close {name}"), **fields)


def test_sides_take_turns_and_change_who_begins() -> None:
    log: list[str] = []
    measure([logged("a", log), logged("b", log)], repetitions=3, warmup=1)
    assert log == ["a", "b", "b", "a", "a", "b", "b", "a", "close a", "close b"]


def test_warmup_is_not_in_the_result() -> None:
    log: list[str] = []
    (result,) = measure([logged("a", log)], repetitions=3, warmup=2)
    assert result.values == {"turn": [3, 4, 5]}


def test_questions_run_one_after_the_other_and_are_closed_between() -> None:
    log: list[str] = []
    small, large = {"n": 1}, {"n": 2}
    cases = [logged("a1", log, params=small), logged("a2", log, params=large), logged("b1", log, params=small)]
    results = measure(cases, repetitions=1, warmup=0)
    assert log == ["a1", "b1", "close a1", "close b1", "a2", "close a2"]
    assert [result.side for result in results] == ["a1", "a2", "b1"]


def test_an_error_ends_the_run_after_closing() -> None:
    log: list[str] = []

    def fail() -> Measurement:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        measure([logged("a", log), Case("race", fail, side="b")], repetitions=1, warmup=0)
    assert log == ["a", "close a"]


def test_samples_of_all_repetitions_are_pooled() -> None:
    batches = iter([[100.0], [1.0, 2.0], [3.0]])
    case = Case("wait", lambda: Measurement({}, {"latency_ms": next(batches)}))
    (result,) = measure([case], repetitions=2, warmup=1)
    assert result.samples == {"latency_ms": [1, 2, 3]}
    assert result.percentiles("latency_ms")["p50"] == 2


def test_timed_divides_by_the_number_of_calls() -> None:
    calls: list[None] = []
    measurement = timed(lambda: calls.append(None), calls=7)()
    assert len(calls) == 7
    assert measurement.values["call_us"] > 0


def test_peak_memory_sees_what_was_held_and_given_back() -> None:
    def run() -> Measurement:
        held = bytearray(256 << 20)
        held[::4096] = b"x" * len(held[::4096])
        return Measurement({"bytes": len(held)})

    (result,) = measure([Case("hold", run)], repetitions=1, warmup=0)
    assert result.rss_peak_bytes > 256 << 20
    if sys.platform == "linux":  # others of the process may give some back meanwhile
        assert result.rss_delta_bytes > 192 << 20


def test_nothing_is_drawn_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    measure([logged("a", [])], repetitions=1, console=Console(file=out))
    assert out.getvalue() == ""


@pytest.mark.parametrize(("repetitions", "warmup"), [(0, 1), (1, -1)])
def test_numbers_of_runs_that_mean_nothing(repetitions: int, warmup: int) -> None:
    with pytest.raises(ValueError, match="allowed"):
        measure([], repetitions=repetitions, warmup=warmup)
