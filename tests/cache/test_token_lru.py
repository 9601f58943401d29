"""TokenLRU against a list in order of use; its promises to threads and callbacks one by one."""

from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quire.cache import TokenLRU
from quire.errors import CapacityError

KEYS = st.sampled_from("abcdef")


class UsedInOrder(RuleBasedStateMachine):
    """The model: one list of [key, value, num_tokens, num_pins], least recent first; pinned ones are scanned past."""

    @initialize(capacity=st.integers(0, 20))
    def begin(self, capacity: int) -> None:
        self.evicted: list[tuple[str, int]] = []
        self.lru: TokenLRU[str, int] = TokenLRU(capacity, on_evict=lambda key, value: self.evicted.append((key, value)))
        self.entries: list[list] = []
        self.gone: list[tuple[str, int]] = []
        self.next_value = 0

    def entry(self, key: str) -> list | None:
        return next((entry for entry in self.entries if entry[0] == key), None)

    def make_recent(self, entry: list) -> None:
        self.entries.remove(entry)
        self.entries.append(entry)

    def weight(self, *, pinned_only: bool = False) -> int:
        return sum(entry[2] for entry in self.entries if entry[3] or not pinned_only)

    def evict_down_to(self, budget: int) -> None:
        for entry in [entry for entry in self.entries if not entry[3]]:
            if self.weight() > budget:
                self.entries.remove(entry)
                self.gone.append((entry[0], entry[1]))

    @rule(key=KEYS, num_tokens=st.integers(0, 12))
    def put(self, key: str, num_tokens: int) -> None:
        self.next_value += 1
        old = self.entry(key)
        pins = old[3] if old else 0
        others_pinned = self.weight(pinned_only=True) - (old[2] if old and pins else 0)
        if others_pinned + num_tokens > self.lru.capacity_tokens:
            with pytest.raises(CapacityError):
                self.lru.put(key, self.next_value, num_tokens)
            return
        self.lru.put(key, self.next_value, num_tokens)
        if old:
            self.entries.remove(old)
        new = [key, self.next_value, num_tokens, pins + 1]
        self.entries.append(new)
        self.evict_down_to(self.lru.capacity_tokens)
        new[3] = pins

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        entry = self.entry(key)
        assert self.lru.get(key) == (entry[1] if entry else None)
        if entry:
            self.make_recent(entry)

    @rule(key=KEYS)
    def touch(self, key: str) -> None:
        entry = self.entry(key)
        assert self.lru.touch(key) == (entry is not None)
        if entry:
            self.make_recent(entry)

    @rule(key=KEYS)
    def pin(self, key: str) -> None:
        entry = self.entry(key)
        assert self.lru.pin(key) == (entry[1] if entry else None)
        if entry:
            entry[3] += 1

    @rule(key=KEYS)
    def unpin(self, key: str) -> None:
        entry = self.entry(key)
        if entry is None or not entry[3]:
            with pytest.raises(KeyError):
                self.lru.unpin(key)
            return
        self.lru.unpin(key)
        entry[3] -= 1
        self.make_recent(entry)

    @rule(key=KEYS)
    def remove(self, key: str) -> None:
        entry = self.entry(key)
        assert self.lru.remove(key) == (entry[1] if entry else None)
        if entry:
            self.entries.remove(entry)

    @rule(budget=st.integers(0, 20))
    def evict_until(self, budget: int) -> None:
        before = self.weight()
        self.evict_down_to(budget)
        assert self.lru.evict_until(budget) == before - self.weight()

    @invariant()
    def agrees_with_the_model(self) -> None:
        self.lru.check_invariants()
        assert self.evicted == self.gone
        assert len(self.lru) == len(self.entries)
        assert self.lru.num_tokens == self.weight()
        assert self.lru.num_pinned_tokens == self.weight(pinned_only=True)
        idle = [entry[0] for entry in self.entries if not entry[3]]
        assert self.lru.keys()[: len(idle)] == idle
        assert all((key in self.lru) == (self.entry(key) is not None) for key in "abcdef")


TestUsedInOrder = UsedInOrder.TestCase
TestUsedInOrder.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_least_recent_goes_first_and_pinned_stays() -> None:
    evicted: list[str] = []
    lru: TokenLRU[str, str] = TokenLRU(10, on_evict=lambda key, value: evicted.append(key))
    for key in "abc":
        lru.put(key, key.upper(), 3)
    lru.get("a")
    lru.pin("b")
    lru.put("d", "D", 6)
    assert evicted == ["c", "a"]
    assert lru.evict_until(0) == 6
    assert lru.keys() == ["b"]


def test_message_says_what_is_in_the_way() -> None:
    lru: TokenLRU[str, int] = TokenLRU(10)
    lru.put("a", 1, 6)
    lru.pin("a")
    with pytest.raises(CapacityError, match="an entry of 5 tokens does not fit: the capacity is 10 tokens, 6 of them"):
        lru.put("b", 2, 5)


def test_callback_may_call_back() -> None:
    lru: TokenLRU[str, int] = TokenLRU(4, on_evict=lambda key, value: lru.remove("b") and None)
    lru.put("a", 1, 4)
    lru.put("b", 2, 4)
    assert lru.keys() == []


def test_threads_lose_nothing() -> None:
    evicted: list[int] = []
    lru: TokenLRU[int, int] = TokenLRU(50, on_evict=lambda key, value: evicted.append(key))

    def work(first: int) -> None:
        for key in range(first, first + 2000):
            lru.put(key, key, 1 + key % 3)
            lru.touch(key - 5)

    threads = [Thread(target=work, args=(first,)) for first in (0, 10_000, 20_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lru.check_invariants()
    assert len(evicted) + len(lru) == 6000
    assert not set(evicted) & set(lru.keys())
