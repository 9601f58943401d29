"""The slowest hundredth, by hand: which stage took longer than it does, and what was different then."""

import json

import pytest

from quire.bench.harness import Case, Measurement, measure
from quire.bench.results import Report
from quire.bench.tail import Event, Tail, tail_of


def events(num: int = 200) -> list[Event]:
    """Two of two hundred are slow: by 90 ms in `walk`, with fifty sequences where there are five."""
    usual = [Event(10.0, {"walk": 6.0, "fetch": 3.0}, {"sequences": 5, "preemptions": 0}) for _ in range(num - 2)]
    slow = [Event(100.0, {"walk": 96.0, "fetch": 3.0}, {"sequences": 50, "preemptions": 0}) for _ in range(2)]
    return [*usual[:100], *slow, *usual[100:]]


def test_the_slow_stage_and_what_was_different_are_found() -> None:
    tail = tail_of("searches", events())
    assert (tail.count, tail.num_slow, tail.total.slow, tail.total.median) == (200, 2, 100, 10)
    assert (tail.cause.name, tail.cause.excess) == ("walk", 90)
    assert {stage.name: tail.share(stage) for stage in tail.stages} == {
        "walk": pytest.approx(0.96),
        "fetch": pytest.approx(0.03),
        "rest": pytest.approx(0.01),
    }
    assert [part.name for part in tail.facts if part.is_notable] == ["sequences"]
    assert tail.text().splitlines() == [
        "The slowest 2 of 200 searches took 100 ms, where the median is 10; walk makes 90 of the 90 ms between them.",
        "In them: 50 sequences in the batch (else 5)",
        "  walk        96.0%     96.000 ms, median 6.000",
        "  fetch        3.0%      3.000 ms, median 3.000",
        "  rest         1.0%      1.000 ms, median 1.000",
    ]


def test_a_stage_that_is_seldom_there_counts_as_nothing_where_it_is_not() -> None:
    tail = tail_of("steps", [Event(1.0, {"a": 1.0}), Event(1.0, {"a": 1.0}), Event(9.0, {"a": 1.0, "b": 8.0})])
    assert (tail.cause.name, tail.cause.slow, tail.cause.median) == ("b", 8, 0)
    assert tail_of("steps", [Event(2.0, {})]).cause.name == "rest"


def test_events_of_all_repetitions_are_explained_and_kept_in_the_file() -> None:
    halves = iter([events()[:100], events()[100:]])
    case = Case("search", lambda: Measurement({"n": 1}, events=next(halves), kind="searches"))
    results = measure([case, Case("silent", lambda: Measurement({"n": 1}))], repetitions=2, warmup=0)
    report = Report("r", results, environment={"cpu": "c", "physical_cores": 2, "hash": "h"})
    assert results[0].tail == tail_of("searches", events())
    assert results[1].tail is None
    entry = json.loads(report.to_json())["results"][0]["tail"]
    assert entry["stages"][0] == {"name": "walk", "slow": 96.0, "median": 6.0}
    assert Report.from_json(report.to_json()) == report
    assert report.tails().startswith("search\nThe slowest 2 of 200")
    assert Tail.from_dict(entry) == results[0].tail
