"""The KV cache against a dict of arrays: whatever is shared, copied, moved or evicted, a sequence reads its own KV."""

import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quire.cache import BlocksRemoved, BlocksShared, BlocksStored, KVCache
from quire.errors import CapacityError

SHAPE = (2, 3)


def kv_of(salt: str, token_ids: list[int], start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """KV as a model would make it: every element depends on the salt, the position and all tokens up to it."""
    seeds = [zlib.crc32(repr((salt, token_ids[: i + 1])).encode()) for i in range(start, len(token_ids))]
    rows = np.array([seed % 1_000_003 for seed in seeds], np.float32)[:, None, None]
    keys = rows + np.arange(6, dtype=np.float32).reshape(SHAPE)
    return keys, -keys


@dataclass
class Held:
    salt: str
    token_ids: list[int]
    num_known: int
    """Tokens whose ids the cache was told, without a gap."""


class ManySequences(RuleBasedStateMachine):
    @initialize(num_pages=st.integers(1, 12), page_size=st.integers(1, 4))
    def begin(self, num_pages: int, page_size: int) -> None:
        self.cache = KVCache(num_pages, page_size, SHAPE, fingerprint=b"model")
        self.size = page_size
        self.num_shrunk = 0
        self.held: dict[int, Held] = {}
        self.next_id = 0

    def tokens(self) -> st.SearchStrategy[list[int]]:
        return st.lists(st.integers(0, 1), max_size=12)

    @rule(data=st.data(), salt=st.sampled_from(["", "", "tenant"]), uses_cached=st.booleans())
    def attach(self, data: st.DataObject, salt: str, uses_cached: bool) -> None:
        token_ids = data.draw(self.tokens())
        num_known = data.draw(st.integers(0, len(token_ids)))
        known = token_ids[:num_known]
        num_cached = self.cache.lookup(known, cache_salt=salt)
        keys_start = data.draw(st.integers(0, num_cached)) if uses_cached else 0
        keys, values = kv_of(salt, token_ids, keys_start)
        self.next_id += 1
        try:
            found = self.cache.attach(self.next_id, keys, values, known, keys_start=keys_start, cache_salt=salt)
        except CapacityError:
            assert self.next_id not in self.cache
            assert -(-(len(token_ids) - num_cached) // self.size) > self.num_free_beside(num_cached)
            return
        assert found == num_cached
        self.held[self.next_id] = Held(salt, token_ids, num_known)
        assert self.cache.lookup(known, cache_salt=salt) == num_known // self.size * self.size

    def num_free_beside(self, num_cached: int) -> int:
        """Pages that could be had, where the ones of the match are not among them."""
        pages = self.cache.stats().pages
        return pages.num_free + pages.num_kept - min(num_cached // self.size, pages.num_kept)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), names_them=st.booleans())
    def append(self, data: st.DataObject, names_them: bool) -> None:
        seq_id = data.draw(st.sampled_from(sorted(self.held)))
        held, more = self.held[seq_id], data.draw(self.tokens())
        keys, values = kv_of(held.salt, held.token_ids + more, len(held.token_ids))
        try:
            self.cache.append(seq_id, keys, values, more if names_them else None)
        except CapacityError:
            assert len(more) > 0
            return
        if names_them and held.num_known == len(held.token_ids):
            held.num_known += len(more)
        held.token_ids = held.token_ids + more

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        parent = data.draw(st.sampled_from(sorted(self.held)))
        self.next_id += 1
        before = self.cache.stats().pages
        self.cache.fork(parent, self.next_id)
        assert self.cache.stats().pages.num_live == before.num_live
        held = self.held[parent]
        self.held[self.next_id] = Held(held.salt, held.token_ids, held.num_known)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        seq_id = data.draw(st.sampled_from(sorted(self.held)))
        held = self.held.pop(seq_id)
        known = held.token_ids[: held.num_known]
        num_findable = self.cache.lookup(known, cache_salt=held.salt)
        self.cache.detach(seq_id)
        assert self.cache.lookup(known, cache_salt=held.salt) == num_findable

    @rule(data=st.data())
    def resize(self, data: st.DataObject) -> None:
        pages = self.cache.stats().pages
        spare = pages.num_free + pages.num_kept
        count = data.draw(st.integers(-self.num_shrunk, spare + 1))
        if count < 0:
            self.cache.grow(-count)
        elif count > spare:
            with pytest.raises(CapacityError):
                self.cache.shrink(count)
            return
        else:
            self.cache.shrink(count)
        self.num_shrunk += count

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def write_into_what_get_returned(self, data: st.DataObject) -> None:
        seq_id = data.draw(st.sampled_from(sorted(self.held)))
        length = len(self.held[seq_id].token_ids)
        start = data.draw(st.integers(0, length))
        end = data.draw(st.integers(start, length))
        keys, values = self.cache.get(seq_id, start, end)
        expected = kv_of(self.held[seq_id].salt, self.held[seq_id].token_ids[:end], start)
        np.testing.assert_array_equal(keys, expected[0])
        np.testing.assert_array_equal(values, expected[1])
        keys[...] = values[...] = 12345

    @invariant()
    def every_sequence_reads_its_own(self) -> None:
        self.cache.check_invariants()
        for seq_id, held in self.held.items():
            expected = kv_of(held.salt, held.token_ids)
            for array, wanted in zip(self.cache.get(seq_id), expected, strict=True):
                np.testing.assert_array_equal(array, wanted)
        assert self.cache.stats().num_tokens == sum(len(held.token_ids) for held in self.held.values())


TestManySequences = ManySequences.TestCase
TestManySequences.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def attach(cache: KVCache, seq_id: str, token_ids: list[int]) -> int:
    return cache.attach(seq_id, *kv_of("", token_ids), token_ids)


def test_common_pages_are_held_once() -> None:
    cache = KVCache(10, 4, SHAPE)
    assert attach(cache, "a", list(range(10))) == 0
    assert attach(cache, "b", [*range(8), 90, 91, 92]) == 8
    stats = cache.stats()
    assert (stats.pages.num_live, stats.pages.num_shared, stats.num_tokens) == (4, 2, 21)
    assert stats.used_bytes == 4 * 2 * 4 * 6 * 4


def test_first_write_into_a_shared_page_copies_it_once() -> None:
    cache = KVCache(10, 4, SHAPE)
    attach(cache, "a", [1, 2, 3, 4, 5])
    cache.fork("a", "b")
    assert cache.stats().pages.num_live == 2
    for seq_id in ("a", "b"):
        cache.append(seq_id, *kv_of("", [1, 2, 3, 4, 5, 6], 5), [6])
    assert cache.stats().num_copied_pages == 1
    assert cache.stats().pages.num_live == 3


def test_detached_prefix_is_found_until_its_memory_is_wanted() -> None:
    cache = KVCache(3, 2, SHAPE)
    attach(cache, "a", [1, 2, 3, 4])
    cache.detach("a")
    assert cache.lookup([1, 2, 3, 4, 5]) == 4
    attach(cache, "b", [7, 8, 9, 10])
    assert cache.lookup([1, 2, 3, 4, 5]) == 2
    assert "a" not in cache


def test_keys_may_start_where_the_cache_ends_and_nowhere_behind() -> None:
    cache = KVCache(8, 2, SHAPE)
    attach(cache, "a", [1, 2, 3, 4])
    token_ids = [1, 2, 3, 4, 5]
    assert cache.attach("b", *kv_of("", token_ids, 4), token_ids, keys_start=4) == 4
    np.testing.assert_array_equal(cache.get("b")[0], kv_of("", token_ids)[0])
    with pytest.raises(LookupError, match="keys start at token 4, but only 2 tokens before are here"):
        cache.attach("c", *kv_of("", [1, 2, 9, 9, 9], 4), [1, 2, 9, 9, 9], keys_start=4)
    assert "c" not in cache


def test_attaching_what_does_not_fit_changes_nothing() -> None:
    cache = KVCache(3, 2, SHAPE)
    attach(cache, "a", [1, 2, 3])
    with pytest.raises(CapacityError):
        attach(cache, "b", [1, 2, 5, 6, 7, 8])
    assert "b" not in cache
    assert cache.stats().pages.num_shared == 0
    with pytest.raises(CapacityError):
        cache.append("a", *kv_of("", [1, 2, 3, 4, 5, 6, 7], 3), [4, 5, 6, 7])
    np.testing.assert_array_equal(cache.get("a")[0], kv_of("", [1, 2, 3])[0])


def test_mistakes_are_named() -> None:
    cache = KVCache(4, 2, SHAPE)
    attach(cache, "a", [1, 2, 3])
    keys, values = kv_of("", [1, 2])
    with pytest.raises(ValueError, match="'a' is attached already"):
        cache.attach("a", keys, values, [1, 2])
    with pytest.raises(KeyError, match="'b' is not attached"):
        cache.get("b")
    with pytest.raises(ValueError, match=r"values have the shape \(1, 2, 3\); allowed: \(2, 2, 3\)"):
        cache.attach("b", keys, values[:1], [1, 2])
    with pytest.raises(ValueError, match="keys are complex64, which this cache of float32 cannot hold"):
        cache.attach("b", keys + 1j, values, [1, 2])
    with pytest.raises(ValueError, match="3 token ids for 2 tokens"):
        cache.attach("b", keys, values, [1, 2, 3])
    with pytest.raises(ValueError, match="1 token ids for 2 keys"):
        cache.append("a", keys, values, [1])
    with pytest.raises(IndexError, match="tokens 0 to 4 of 'a' are wanted; it has 3"):
        cache.get("a", 0, 4)
    with pytest.raises(ValueError, match="cannot grow by 1 pages"):
        cache.grow(1)


def test_events_follow_the_pages() -> None:
    events: list[object] = []
    cache = KVCache(2, 2, SHAPE, observer=events.append)
    attach(cache, "a", [1, 2, 3])
    attach(cache, "b", [1, 2])
    for seq_id in ("a", "b"):
        cache.detach(seq_id)
    attach(cache, "c", [8, 9, 10])
    stored, shared, removed, stored_again = events
    assert isinstance(stored, BlocksStored)
    assert stored.token_ids == [1, 2]
    assert shared == BlocksShared(stored.digests)
    assert removed == BlocksRemoved(stored.digests)
    assert isinstance(stored_again, BlocksStored)
    assert stored_again.parent == stored.parent


def test_behind_tokens_without_ids_nothing_is_indexed() -> None:
    cache = KVCache(8, 2, SHAPE)
    token_ids = [1, 2, 3, 4, 5, 6]
    cache.attach("a", *kv_of("", token_ids[:2]), token_ids[:2])
    cache.append("a", *kv_of("", token_ids[:4], 2))
    cache.append("a", *kv_of("", token_ids, 4), token_ids[4:])
    assert cache.lookup([1, 2, 5, 6]) == 2
    assert cache.lookup(token_ids) == 2
    assert cache.stats().num_findable_pages == 1
