"""Resident memory over time, of a process and those it started: ten looks a second from a thread beside.

    with MemoryTrace() as trace: …
    trace.points        [(seconds since the beginning, bytes), …], never more than MAX_POINTS

Linux only; elsewhere there are no points. A look costs this process about 50 µs.
"""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from quire.bench.machine.resources import status_bytes

PERIOD_S = 0.1
MAX_POINTS = 600


class MemoryTrace:
    def __init__(self, process_id: int | None = None) -> None:
        self.points: list[tuple[float, int]] = []
        """Of long runs every second look is dropped, again and again."""
        self.peak_bytes = 0
        self.peak_anonymous_bytes = 0
        """Without what files are mapped: weights that are read in place count as the cache of their file."""
        self._process_id = os.getpid() if process_id is None else process_id
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look_again, name="memory-trace", daemon=True)
        self._begin_s = 0.0

    def __enter__(self) -> "MemoryTrace":
        self._begin_s = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def _look_again(self) -> None:
        period_s = PERIOD_S
        self._look()
        while not self._is_over.wait(period_s):
            self._look()
            if len(self.points) >= MAX_POINTS:
                self.points, period_s = self.points[::2], 2 * period_s

    def _look(self) -> None:
        processes = list(_tree(self._process_id))
        resident = sum(status_bytes("VmRSS", process) for process in processes)
        anonymous = sum(status_bytes(key, process) for key in ("RssAnon", "RssShmem") for process in processes)
        if resident:
            self.points.append((round(time.perf_counter() - self._begin_s, 3), resident))
            self.peak_bytes = max(self.peak_bytes, resident)
            self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, anonymous)


def _tree(process_id: int) -> Iterator[int]:
    """The process and all below it."""
    waiting = [process_id]
    while waiting:
        process = waiting.pop()
        yield process
        try:
            for children in Path(f"/proc/{process}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
        except OSError:
            continue
