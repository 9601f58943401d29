import asyncio
from threading import Event, Thread, get_ident

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import ConfigError, EngineClosedError
from quire.scheduling.microbatch import BatchedCalls, MicroBatcher
from tests.patience import PATIENCE_S


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def test_a_batch_closes_when_full():
    batcher = MicroBatcher(3, 1000.0, Clock())
    assert batcher.closes_in_s is None
    for item in "ab":
        batcher.add(item)
    assert batcher.closes_in_s == 1.0
    batcher.add("c")
    assert batcher.closes_in_s == 0
    batcher.add("d")
    assert batcher.take() == ["a", "b", "c"]
    assert batcher.closes_in_s == 1.0


def test_a_batch_closes_when_its_oldest_has_waited():
    clock = Clock()
    batcher = MicroBatcher(3, 500.0, clock)
    batcher.add("a")
    clock.now_s = 0.25
    batcher.add("b")
    assert batcher.closes_in_s == 0.25
    clock.now_s = 0.75
    assert batcher.closes_in_s == 0
    assert batcher.take() == ["a", "b"]
    assert batcher.take() == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=60), st.integers(1, 5), st.integers(0, 20))
def test_every_item_leaves_once_in_order_and_no_batch_is_held_too_long(arrivals, max_batch, max_wait_ticks):
    """One tick is 1/64 s, exact in binary. A server that is always free takes each batch the moment it closes."""
    clock = Clock()
    batcher = MicroBatcher(max_batch, max_wait_ticks * 1000 / 64, clock)
    left, sent = [], []

    def serve_until(end_s):
        while (wait_s := batcher.closes_in_s) is not None and clock.now_s + wait_s <= end_s:
            clock.now_s += wait_s
            batch = batcher.take()
            oldest_s = batch[0][1]
            assert len(batch) == max_batch or clock.now_s == oldest_s + max_wait_ticks / 64
            left.extend(batch)
        clock.now_s = end_s

    for pause, num_items in arrivals:
        serve_until(clock.now_s + pause / 64)
        for _ in range(num_items):
            sent.append((len(sent), clock.now_s))
            batcher.add(sent[-1])
    serve_until(clock.now_s + 10_000.0)
    assert left == sent


def test_knobs_that_cannot_be():
    with pytest.raises(ConfigError, match="max_batch is 0"):
        MicroBatcher(0, 1.0)
    with pytest.raises(ConfigError, match="max_wait_ms is nan"):
        MicroBatcher(1, float("nan"))


def test_each_caller_gets_the_answer_to_its_own_item():
    batches = []

    def double(items):
        batches.append(items)
        return [2 * item for item in items]

    with BatchedCalls(double, max_batch=8, max_wait_ms=5.0) as calls:
        threads = [Thread(target=lambda k=k: results.update({k: calls.submit(k).result()})) for k in range(50)]
        results = {}
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {k: 2 * k for k in range(50)}
    assert all(1 <= len(batch) <= 8 for batch in batches)
    assert sorted(item for batch in batches for item in batch) == list(range(50))


def test_what_comes_while_a_batch_runs_is_the_next_batch():
    begun, go, batches = Event(), Event(), []

    def run(items):
        batches.append(list(items))
        begun.set()
        assert go.wait(PATIENCE_S)
        return items

    with BatchedCalls(run, max_batch=4, max_wait_ms=0.0) as calls:
        first = calls.submit("a")
        assert begun.wait(PATIENCE_S)
        others = [calls.submit(item) for item in "bcdef"]
        others[1].cancel()
        go.set()
        assert first.result(PATIENCE_S) == "a"
        assert [future.result(PATIENCE_S) for future in others if not future.cancelled()] == ["b", "d", "e", "f"]
    assert batches == [["a"], ["b", "d", "e"], ["f"]]


def test_a_call_runs_in_its_own_thread_where_nothing_else_does():
    ran = []

    def run(items):
        ran.append((get_ident(), list(items)))
        if "bad" in items:
            raise ValueError("bad item")
        return items[: len(items) - ("lost" in items)]

    with BatchedCalls(run, max_batch=4, max_wait_ms=0.0) as calls:
        assert calls.call("a") == "a"
        with pytest.raises(ValueError, match="bad item"):
            calls.call("bad")
        with pytest.raises(RuntimeError, match="gave 0 results"):
            calls.call("lost")
        assert calls.submit("b").result(PATIENCE_S) == "b"
    assert [(thread == get_ident(), items) for thread, items in ran] == [
        (True, ["a"]),
        (True, ["bad"]),
        (True, ["lost"]),
        (False, ["b"]),
    ]
    with pytest.raises(EngineClosedError):
        calls.call("late")


def test_a_call_that_comes_while_another_runs_waits_with_the_rest_for_its_turn():
    begun, go, batches, found = Event(), Event(), [], []

    def run(items):
        batches.append(list(items))
        begun.set()
        assert go.wait(PATIENCE_S)
        return items

    with BatchedCalls(run, max_batch=4, max_wait_ms=0.0) as calls:
        threads = [Thread(target=lambda item=item: found.append(calls.call(item))) for item in "abc"]
        threads[0].start()
        assert begun.wait(PATIENCE_S)
        future = calls.submit("d")
        for thread in threads[1:]:
            thread.start()
        while len(calls._batcher) < 3:
            pass
        assert batches == [["a"]]
        go.set()
        for thread in threads:
            thread.join()
        assert future.result(PATIENCE_S) == "d"
    assert sorted(found) == ["a", "b", "c"]
    assert [len(batch) for batch in batches] == [1, 3]


def test_an_error_goes_to_its_batch_and_to_no_other():
    def run(items):
        if "bad" in items:
            raise ValueError("bad item")
        return items

    with BatchedCalls(run, max_batch=1, max_wait_ms=0.0) as calls:
        good, bad, after = (calls.submit(item) for item in ("good", "bad", "after"))
        assert good.result(PATIENCE_S) == "good"
        with pytest.raises(ValueError, match="bad item"):
            bad.result(PATIENCE_S)
        assert after.result(PATIENCE_S) == "after"


def test_a_missing_result_is_an_error():
    with (
        BatchedCalls(lambda items: items[1:], max_batch=4, max_wait_ms=0.0) as calls,
        pytest.raises(RuntimeError, match="A batch of 1 items gave 0 results"),
    ):
        calls.submit("a").result(PATIENCE_S)


def test_closing_answers_what_was_submitted_and_takes_no_more():
    calls = BatchedCalls(lambda items: items, max_batch=100, max_wait_ms=60_000.0)
    futures = [calls.submit(item) for item in range(5)]
    calls.close()
    calls.close()
    assert [future.result(0) for future in futures] == list(range(5))
    with pytest.raises(EngineClosedError):
        calls.submit(6)


def test_an_event_loop_awaits_it():
    async def ask(calls):
        return await asyncio.gather(*(asyncio.wrap_future(calls.submit(k)) for k in range(10)))

    with BatchedCalls(lambda items: [-item for item in items], max_batch=4, max_wait_ms=1.0) as calls:
        assert asyncio.run(ask(calls)) == [-k for k in range(10)]
