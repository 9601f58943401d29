"""What waits in a queue, how much of it goes before a newcomer, and how fast it drains.

Knows amounts and times, not requests. Costs O(1), but `num_tokens_ahead` by deadline: O(queued deadlines), at most one
for each `DEADLINE_SLICE_S`. One caller at a time, with a time that does not go back.
Invariant: the totals are the sums of what was added and not removed.
"""

import math
from collections import Counter

from quire.scheduling.meters import DrainRate

DRAIN_MEMORY_S = 10.0
"""How much time with a queue the measured drain rate looks back on."""

DEADLINE_SLICE_S = 0.25
"""Deadlines closer than this count as one."""


class Backlog:
    def __init__(self, *, is_by_deadline: bool) -> None:
        """By deadline, only what must be done earlier goes before a newcomer; otherwise everything that is there."""
        self.num_requests = 0
        self.num_tokens = 0
        self._is_by_deadline = is_by_deadline
        self._tokens_by_deadline: Counter[float] = Counter()
        self._drain = DrainRate(DRAIN_MEMORY_S)

    @property
    def drain_tokens_per_s(self) -> float | None:
        """None until something has left after a wait."""
        return self._drain.tokens_per_s

    def advance(self, now_s: float) -> None:
        """Up to now the queue was as it is."""
        self._drain.advance(now_s, is_busy=self.num_requests > 0)

    def add(self, num_requests: int, num_tokens: int, deadline_s: float) -> None:
        self.num_requests += num_requests
        self.num_tokens += num_tokens
        if self._is_by_deadline:
            self._tokens_by_deadline[_slice(deadline_s)] += num_tokens

    def remove(self, num_requests: int, num_tokens: int, deadline_s: float, *, is_drained: bool) -> None:
        """Takes out what was added; drained says that it left to be served."""
        self.num_requests -= num_requests
        self.num_tokens -= num_tokens
        if is_drained:
            self._drain.add(num_tokens)
        if self._is_by_deadline:
            self._tokens_by_deadline[_slice(deadline_s)] -= num_tokens
            if not self._tokens_by_deadline[_slice(deadline_s)]:
                del self._tokens_by_deadline[_slice(deadline_s)]

    def num_tokens_ahead(self, deadline_s: float) -> int:
        if not self._is_by_deadline:
            return self.num_tokens
        mine = _slice(deadline_s)
        return sum(num_tokens for deadline, num_tokens in self._tokens_by_deadline.items() if deadline <= mine)

    def drain_s(self, num_tokens: float) -> float | None:
        """How long so many tokens take to leave; None while that is not known."""
        rate = self._drain.tokens_per_s
        return None if rate is None else num_tokens / rate


def _slice(deadline_s: float) -> float:
    return deadline_s if math.isinf(deadline_s) else float(math.floor(deadline_s / DEADLINE_SLICE_S))
