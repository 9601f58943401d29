"""Values by key, least recently used first out, with the capacity counted in tokens.

A pinned entry is in use: it is never evicted, and counts. Pins nest; the last `unpin` makes the entry the most recent.

Invariants: an entry is either pinned or in the order of use; `num_tokens` is the sum over entries and never above the
capacity.

Cost: O(1) for put, get, touch, pin and remove, and O(1) for each entry evicted.
Threads: every call is atomic. `on_evict` is called after it, without the lock, so it may call back.

Blocks of the KV cache are not kept here but in `PagedAllocator`: all of them weigh the same and are taken back on
demand rather than by a budget, in which case the order alone does it, at a third of the cost.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from quire.errors import CapacityError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    num_tokens: int
    num_pins: int = 0


class TokenLRU(Generic[K, V]):
    """Holds entries of `capacity_tokens` in all. `on_evict(key, value)` hears of what had to go, not of `remove`."""

    def __init__(self, capacity_tokens: int, *, on_evict: Callable[[K, V], None] | None = None) -> None:
        if capacity_tokens < 0:
            raise ValueError(f"capacity_tokens is {capacity_tokens}; allowed: 0 or more.")
        self.capacity_tokens = capacity_tokens
        self._on_evict = on_evict
        self._lock = Lock()
        self._idle: OrderedDict[K, _Entry[V]] = OrderedDict()
        self._pinned: dict[K, _Entry[V]] = {}
        self._num_tokens = 0
        self._num_pinned_tokens = 0

    @property
    def num_tokens(self) -> int:
        return self._num_tokens

    @property
    def num_pinned_tokens(self) -> int:
        return self._num_pinned_tokens

    def __len__(self) -> int:
        return len(self._idle) + len(self._pinned)

    def __contains__(self, key: K) -> bool:
        return key in self._idle or key in self._pinned

    def keys(self) -> list[K]:
        """The keys in the order they would be evicted, then the pinned ones."""
        with self._lock:
            return [*self._idle, *self._pinned]

    def put(self, key: K, value: V, num_tokens: int) -> None:
        """Adds `key`, or replaces its value and weight and keeps its pins; it is the most recent. Others go as needed.

        Raises CapacityError, and changes nothing, if it cannot fit beside what is pinned.
        """
        if num_tokens < 0:
            raise ValueError(f"num_tokens is {num_tokens}; allowed: 0 or more.")
        with self._lock:
            others_pinned = self._num_pinned_tokens
            if key in self._pinned:
                others_pinned -= self._pinned[key].num_tokens
            if others_pinned + num_tokens > self.capacity_tokens:
                raise CapacityError(
                    f"an entry of {num_tokens} tokens does not fit: the capacity is {self.capacity_tokens} tokens, "
                    f"{others_pinned} of them pinned."
                )
            before = self._take(key)
            self._place(key, _Entry(value, num_tokens, before.num_pins if before else 0))
            evicted = self._evict_down_to(self.capacity_tokens)
        self._tell(evicted)

    def get(self, key: K) -> V | None:
        """The value, now the most recent; None if there is none."""
        with self._lock:
            entry = self._touch(key)
            return None if entry is None else entry.value

    def touch(self, key: K) -> bool:
        """Makes `key` the most recent. False if it is not here."""
        with self._lock:
            return self._touch(key) is not None

    def pin(self, key: K) -> V | None:
        """The value, safe from eviction until `unpin` was called as often; None, and no pin, if there is none."""
        with self._lock:
            entry = self._take(key)
            if entry is None:
                return None
            entry.num_pins += 1
            self._place(key, entry)
            return entry.value

    def unpin(self, key: K) -> None:
        """Takes one pin back. Raises KeyError if `key` is not pinned."""
        with self._lock:
            if key not in self._pinned:
                raise KeyError(f"{key!r} is not pinned.")
            entry = self._take(key)
            assert entry is not None
            entry.num_pins -= 1
            self._place(key, entry)

    def remove(self, key: K) -> V | None:
        """Takes `key` out, pinned or not, and returns its value; None if there is none."""
        with self._lock:
            return entry.value if (entry := self._take(key)) else None

    def evict_until(self, budget_tokens: int) -> int:
        """Evicts the least recent entries until `num_tokens` is at most the budget, or only pinned ones are left.

        Returns how many tokens went.
        """
        with self._lock:
            before = self._num_tokens
            evicted = self._evict_down_to(budget_tokens)
            num_evicted_tokens = before - self._num_tokens
        self._tell(evicted)
        return num_evicted_tokens

    def check_invariants(self) -> None:
        """AssertionError if weights or places disagree. O(entries)."""
        with self._lock:
            assert not self._idle.keys() & self._pinned.keys(), "an entry is in two places"
            assert all(entry.num_pins == 0 for entry in self._idle.values())
            assert all(entry.num_pins > 0 for entry in self._pinned.values())
            assert self._num_pinned_tokens == sum(entry.num_tokens for entry in self._pinned.values())
            num_idle_tokens = sum(entry.num_tokens for entry in self._idle.values())
            assert self._num_tokens == self._num_pinned_tokens + num_idle_tokens
            assert self._num_tokens <= self.capacity_tokens

    def _touch(self, key: K) -> _Entry[V] | None:
        entry = self._idle.get(key)
        if entry is None:
            return self._pinned.get(key)
        self._idle.move_to_end(key)
        return entry

    def _take(self, key: K) -> _Entry[V] | None:
        entry = self._idle.pop(key, None)
        if entry is None and (entry := self._pinned.pop(key, None)) is not None:
            self._num_pinned_tokens -= entry.num_tokens
        if entry is not None:
            self._num_tokens -= entry.num_tokens
        return entry

    def _place(self, key: K, entry: _Entry[V]) -> None:
        self._num_tokens += entry.num_tokens
        if entry.num_pins:
            self._num_pinned_tokens += entry.num_tokens
            self._pinned[key] = entry
        else:
            self._idle[key] = entry

    def _evict_down_to(self, budget_tokens: int) -> list[tuple[K, V]]:
        evicted = []
        while self._num_tokens > budget_tokens and self._idle:
            key, entry = self._idle.popitem(last=False)
            self._num_tokens -= entry.num_tokens
            evicted.append((key, entry.value))
        return evicted

    def _tell(self, evicted: list[tuple[K, V]]) -> None:
        if self._on_evict is not None:
            for key, value in evicted:
                self._on_evict(key, value)
