"""The allocator against a dict of pages, and its numbers where they can be counted by hand."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quire.cache import PagedAllocator
from quire.errors import CapacityError


class HeldPages(RuleBasedStateMachine):
    """Each held page is an object of the model with a name; a name keeps its content wherever its page is moved."""

    @initialize(num_pages=st.integers(0, 12))
    def begin(self, num_pages: int) -> None:
        self.reclaimed: list[int] = []
        self.allocator = PagedAllocator(num_pages, on_reclaim=self.reclaimed.extend)
        self.num_pages = num_pages
        self.holders: dict[int, int] = {}
        self.kept: list[int] = []

    @rule(count=st.integers(0, 6))
    def allocate(self, count: int) -> None:
        num_free = self.num_pages - len(self.holders) - len(self.kept)
        if count > num_free + len(self.kept):
            with pytest.raises(CapacityError):
                self.allocator.allocate(count)
            return
        self.expect_reclaimed(max(0, count - num_free), lambda: self.take(count))

    def take(self, count: int) -> None:
        pages = self.allocator.allocate(count)
        assert len(set(pages)) == count
        assert not set(pages) & set(self.holders)
        self.holders |= dict.fromkeys(pages, 1)

    def expect_reclaimed(self, count: int, action: object) -> None:
        oldest, self.kept = self.kept[:count], self.kept[count:]
        self.reclaimed.clear()
        action()  # type: ignore[operator]
        assert self.reclaimed == oldest

    @precondition(lambda self: self.holders or self.kept)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        page = data.draw(st.sampled_from([*self.holders, *self.kept]))
        self.allocator.share([page])
        self.holders[page] = self.holders.get(page, 0) + 1
        self.kept = [p for p in self.kept if p != page]

    @precondition(lambda self: self.holders)
    @rule(data=st.data(), is_wanted=st.booleans())
    def free(self, data: st.DataObject, is_wanted: bool) -> None:
        pages = data.draw(st.lists(st.sampled_from(sorted(self.holders)), unique=True))
        self.allocator.free(pages, keep=pages if is_wanted else ())
        for page in pages:
            self.holders[page] -= 1
            if not self.holders[page]:
                del self.holders[page]
                self.kept += [page] if is_wanted else []

    @rule(data=st.data())
    def free_what_nobody_holds(self, data: st.DataObject) -> None:
        if unheld := sorted(set(range(self.num_pages)) - set(self.holders)):
            with pytest.raises(ValueError, match="no holder"):
                self.allocator.free([data.draw(st.sampled_from(unheld))])

    @rule(data=st.data())
    def share_what_is_free(self, data: st.DataObject) -> None:
        if free := sorted(set(range(self.num_pages)) - set(self.holders) - set(self.kept)):
            with pytest.raises(ValueError, match="is free"):
                self.allocator.share([data.draw(st.sampled_from(free))])

    @rule()
    def drop_kept(self) -> None:
        self.allocator.drop_kept()
        self.kept.clear()

    @rule()
    def defragment(self) -> None:
        self.follow(self.allocator.defragment())
        assert {*self.holders, *self.kept} == set(range(len(self.holders) + len(self.kept)))

    @rule(count=st.integers(0, 8))
    def shrink(self, count: int) -> None:
        spare = self.num_pages - len(self.holders)
        if count > spare:
            with pytest.raises(CapacityError):
                self.allocator.shrink(count)
            return
        moves: list[tuple[int, int]] = []
        num_free = spare - len(self.kept)
        self.expect_reclaimed(max(0, count - num_free), lambda: moves.extend(self.allocator.shrink(count)))
        self.num_pages -= count
        self.follow(moves)
        assert all(src >= self.num_pages > dst for src, dst in moves)
        assert max([*self.holders, *self.kept], default=-1) < self.num_pages

    @rule(count=st.integers(0, 4))
    def grow(self, count: int) -> None:
        self.allocator.grow(count)
        self.num_pages += count

    def follow(self, moves: list[tuple[int, int]]) -> None:
        used = {*self.holders, *self.kept}
        renamed = dict(moves)
        assert renamed.keys() <= used
        assert not used & set(renamed.values())
        self.holders = {renamed.get(page, page): count for page, count in self.holders.items()}
        self.kept = [renamed.get(page, page) for page in self.kept]

    @invariant()
    def agrees_with_the_model(self) -> None:
        self.allocator.check_invariants()
        stats = self.allocator.stats()
        assert stats.num_pages == self.num_pages
        assert stats.num_live == len(self.holders)
        assert stats.num_kept == self.allocator.num_kept == len(self.kept)
        assert stats.num_free == self.num_pages - len(self.holders) - len(self.kept)
        assert stats.num_shared == sum(count > 1 for count in self.holders.values())
        assert self.allocator.num_free == stats.num_free + stats.num_kept
        counts = {page: count for page, count in enumerate(self.allocator.ref_counts) if count}
        assert counts == self.holders


TestHeldPages = HeldPages.TestCase
TestHeldPages.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_lowest_pages_go_first_and_the_page_freed_last_comes_back_first() -> None:
    allocator = PagedAllocator(5)
    assert allocator.allocate(3) == [0, 1, 2]
    allocator.free([1])
    assert allocator.allocate(2) == [1, 3]


def test_kept_pages_are_taken_back_in_the_order_they_came_and_only_when_needed() -> None:
    reclaimed: list[int] = []
    allocator = PagedAllocator(4, on_reclaim=reclaimed.extend)
    pages = allocator.allocate(3)
    allocator.free(reversed(pages), keep=pages)
    assert allocator.allocate(1) == [3]
    assert reclaimed == []
    assert set(allocator.allocate(2)) == {2, 1}
    assert reclaimed == [2, 1]


def test_too_few_pages_is_an_error_that_takes_nothing() -> None:
    allocator = PagedAllocator(2)
    with pytest.raises(CapacityError, match="3 pages are wanted and 2 of 2 are free"):
        allocator.allocate(3)
    assert allocator.num_free == 2


def test_fragmentation_is_the_share_of_free_pages_below_a_used_one() -> None:
    allocator = PagedAllocator(8)
    allocator.allocate(5)
    assert allocator.stats().fragmentation == 0
    allocator.free([0])
    assert allocator.stats().fragmentation == 1 / 4
    assert allocator.defragment() == [(4, 0)]
    assert allocator.stats().fragmentation == 0


def test_shrink_moves_only_what_lies_in_the_tail() -> None:
    allocator = PagedAllocator(6)
    allocator.allocate(6)
    allocator.free([0, 2, 4])
    assert allocator.shrink(2) == [(5, 0)]
    assert allocator.num_pages == 4
    with pytest.raises(CapacityError, match="3 are live; allowed: 0 to 1"):
        allocator.shrink(2)
    allocator.grow(1)
    assert sorted(allocator.allocate(2)) == [2, 4]


def test_kept_pages_stay_in_order_when_they_are_moved() -> None:
    reclaimed: list[int] = []
    allocator = PagedAllocator(6, on_reclaim=reclaimed.extend)
    pages = allocator.allocate(6)
    allocator.free([5, 1, 4], keep=pages)
    allocator.free([0, 2])
    assert dict(allocator.shrink(2)) == {4: 0, 5: 2}
    allocator.allocate(3)
    assert reclaimed == [2, 1, 0]
