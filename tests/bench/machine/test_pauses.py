"""What held a thread up: a collection that ran meanwhile, and time in which it did not run."""

import gc
import time

from quire.bench.machine.pauses import Pauses


class Slow:
    """Rubbish that takes a while to be collected."""

    def __del__(self) -> None:
        until_s = time.thread_time() + 0.02
        while time.thread_time() < until_s:
            pass


def test_a_collection_and_a_sleep_are_told_apart() -> None:
    with Pauses() as pauses:
        begin = pauses.mark()
        rubbish = Slow()
        rubbish.itself = rubbish  # type: ignore[attr-defined]
        del rubbish
        gc.collect()
        collected = pauses.since(begin)
        begin = pauses.mark()
        time.sleep(0.03)
        slept = pauses.since(begin)
    assert collected["collector_ms"] >= 20
    assert slept["collector_ms"] == 0
    assert slept["away_ms"] >= 25
    assert pauses._heard not in gc.callbacks
