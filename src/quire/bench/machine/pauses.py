"""What keeps a thread from its work: Python's garbage collector, and others on its core.

    with Pauses() as pauses:
        begin = pauses.mark()
        …
        facts = pauses.since(begin)     {"collector_ms": …, "away_ms": …}

Costs a call of the system per mark. A collection counts for whichever thread it meets.
"""

import gc
import time
from types import TracebackType
from typing import NamedTuple


class Mark(NamedTuple):
    wall_s: float
    thread_s: float
    collected_s: float


class Pauses:
    def __init__(self) -> None:
        self._collected_s = self._collecting_since_s = 0.0

    def __enter__(self) -> "Pauses":
        gc.callbacks.append(self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.callbacks.remove(self._heard)

    def mark(self) -> Mark:
        return Mark(time.perf_counter(), time.thread_time(), self._collected_s)

    def since(self, begin: Mark) -> dict[str, float]:
        now = self.mark()
        wall_s, thread_s, collected_s = (later - sooner for later, sooner in zip(now, begin, strict=True))
        return {"collector_ms": 1e3 * collected_s, "away_ms": 1e3 * max(0.0, wall_s - thread_s)}

    def _heard(self, phase: str, _: dict[str, int]) -> None:
        now_s = time.perf_counter()
        if phase == "start":
            self._collecting_since_s = now_s
        else:
            self._collected_s += now_s - self._collecting_since_s
