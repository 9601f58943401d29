"""Rates as they are measured: sums over a moving window, and ratios of sums that fade.

Knows no clock: whoever measures brings the time, which must not go back. One caller at a time.
"""

import math
from collections import deque
from dataclasses import dataclass, field

NUM_SLICES = 32


@dataclass(slots=True)
class Meter:
    """A sum over the last `window_s` that never exceeds `rate` x `window_s`.

        slices   | i - NUM_SLICES | … | i - 1 | i |      a slice counts until all of it lies outside the window,
                      └───────── window ────────┘ now    which is NUM_SLICES + 1 slices after it began

    Any stretch of `window_s` keeps to the budget; up to one slice more of the past may count. All methods take O(1),
    amortised, but the first that has to wait: O(NUM_SLICES).
    Invariant: `total` is the sum of the slices and at most the budget; there are at most NUM_SLICES + 1 of them.
    """

    rate: float
    window_s: float
    total: int = 0
    slices: deque[list[int]] = field(default_factory=deque)
    """[index, amount], oldest first."""

    @property
    def budget(self) -> float:
        return self.rate * self.window_s

    @property
    def slice_s(self) -> float:
        return self.window_s / NUM_SLICES

    def total_at(self, now_s: float) -> int:
        oldest = math.floor(now_s / self.slice_s) - NUM_SLICES
        while self.slices and self.slices[0][0] < oldest:
            self.total -= self.slices.popleft()[1]
        return self.total

    def wait_s(self, amount: int, now_s: float) -> float | None:
        """Until `amount` fits, if nothing else comes: 0 when it does now, None if it never will."""
        if amount > self.budget:
            return None
        excess = self.total_at(now_s) + amount - self.budget
        if excess <= 0:
            return 0.0
        for index, counted in self.slices:
            excess -= counted
            if excess <= 0:
                return (index + NUM_SLICES + 1) * self.slice_s - now_s
        raise AssertionError("the slices sum to less than their total")

    def add(self, amount: int, now_s: float) -> None:
        """REQUIRES: `wait_s(amount, now_s)` is 0."""
        index = math.floor(now_s / self.slice_s)
        if not self.slices or self.slices[-1][0] != index:
            self.slices.append([index, 0])
        self.slices[-1][1] += amount
        self.total += amount

    def check_invariants(self) -> None:
        assert self.total == sum(amount for _, amount in self.slices) <= self.budget
        assert len(self.slices) <= NUM_SLICES + 1
        indices = [index for index, _ in self.slices]
        assert indices == sorted(set(indices))


class FadingRatio:
    """Seconds per thing over the recent past: both sums keep `memory` of themselves at each addition."""

    def __init__(self, memory: float) -> None:
        self.value = 0.0
        """0 until something was added."""
        self._memory = memory
        self._seconds = 0.0
        self._num_things = 0.0

    def add(self, seconds: float, num_things: int) -> None:
        self._seconds = self._seconds * self._memory + seconds
        self._num_things = self._num_things * self._memory + num_things
        if self._num_things:
            self.value = self._seconds / self._num_things


class DrainRate:
    """Tokens that left a queue per second in which there was a queue; both fade over `memory_s` of such seconds."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._num_tokens = 0.0
        self._busy_s = 0.0
        self._advanced_s = 0.0

    @property
    def tokens_per_s(self) -> float | None:
        """None until something has left after a wait."""
        return self._num_tokens / self._busy_s if self._num_tokens and self._busy_s else None

    def advance(self, now_s: float, *, is_busy: bool) -> None:
        """Since the last call, there was a queue or there was none."""
        if is_busy:
            passed_s = now_s - self._advanced_s
            fade = math.exp(-passed_s / self._memory_s)
            self._num_tokens *= fade
            self._busy_s = self._busy_s * fade + passed_s
        self._advanced_s = now_s

    def add(self, num_tokens: int) -> None:
        self._num_tokens += num_tokens
