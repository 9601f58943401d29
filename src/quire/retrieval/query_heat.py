"""What is asked most just now: counts of queries that halve as time goes by.

In bounded memory however many queries come: a Count-Min sketch has the counts, and the names of NUM_NAMED of them, cut
to MAX_CHARACTERS. Any thread.
"""

import time
from collections.abc import Callable
from threading import Lock

from quire.retrieval.count_min import CountMinSketch

HALVING_S = 600.0
NUM_NAMED = 256
MAX_CHARACTERS = 200
LEAST = 2
"""What was asked once is nobody else's business."""


class QueryHeat:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts = CountMinSketch(num_hitters=NUM_NAMED)
        self._halved_s = clock()
        self._lock = Lock()

    def add(self, query: str) -> None:
        """White space makes no difference between queries; one of nothing else is none."""
        if text := " ".join(query.split())[:MAX_CHARACTERS]:
            self._cool()
            self._counts.add(text)

    def hottest(self, k: int) -> list[tuple[str, int]]:
        """With how often, most first, of those that count LEAST or more; half an hour ago counts for an eighth."""
        self._cool()
        return [(str(query), count) for query, count in self._counts.heavy_hitters(k) if count >= LEAST]

    def _cool(self) -> None:
        with self._lock:
            num_halvings = int((self._clock() - self._halved_s) // HALVING_S)
            if num_halvings:
                self._halved_s += num_halvings * HALVING_S
                self._counts.decay(0.5**num_halvings)
