"""Fixed-size pages by id, with reference counts. Knows nothing of what a page holds.

A page is in one of three places:

    free     nobody holds it and its content is worth nothing
    kept     nobody holds it, but its owner may want the content again; taken back, oldest first, when `free` runs out
    live     held by ref_counts[page] >= 1 holders; shared when by more than one

    allocate: free, else the oldest kept -> live      free at the last holder: live -> kept or free
    share:    live or kept -> live

Invariant: every id in 0..num_pages-1 is in exactly one place, and ref_counts[page] is 0 for all but live pages.

Cost: O(1) a page for allocate, share, free and taking back; O(num_pages) for defragment, shrink, grow and stats.
Threads: none of it is locked; the owner calls from one thread or holds a lock.
"""

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from quire.errors import CapacityError

Move = tuple[int, int]
"""(source page, destination page)."""


@dataclass(frozen=True, slots=True)
class AllocatorStats:
    num_pages: int
    num_free: int
    """Free without loss of content; `num_kept` pages can be had besides."""
    num_kept: int
    num_live: int
    num_shared: int
    """Live pages with more than one holder."""
    fragmentation: float
    """Share of the free pages that lie below a used one, where `shrink` could not cut them off without a move."""


class PagedAllocator:
    """`num_pages` pages with ids from 0. `on_reclaim` hears of kept pages before they are handed out again."""

    __slots__ = ("_free", "_kept", "_on_reclaim", "num_pages", "ref_counts")

    def __init__(self, num_pages: int, *, on_reclaim: Callable[[list[int]], None] | None = None) -> None:
        if num_pages < 0:
            raise ValueError(f"num_pages is {num_pages}; allowed: 0 or more.")
        self.num_pages = num_pages
        self.ref_counts = [0] * num_pages
        """Holders by page. For reading; a kept page counts 0."""
        self._free = list(range(num_pages - 1, -1, -1))
        """A stack: the page freed last, whose memory is warm, goes first; at first the lowest id."""
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._on_reclaim = on_reclaim

    @property
    def num_free(self) -> int:
        """How many pages `allocate` can give: free and kept ones."""
        return len(self._free) + len(self._kept)

    @property
    def num_kept(self) -> int:
        return len(self._kept)

    def allocate(self, count: int) -> list[int]:
        """`count` pages with one holder each. Raises CapacityError, and takes nothing, if there are too few."""
        free = self._free
        if count > len(free):
            self._reclaim(count - len(free))
        start = len(free) - count
        pages = free[start:]
        del free[start:]
        pages.reverse()
        ref_counts = self.ref_counts
        for page in pages:
            ref_counts[page] = 1
        return pages

    def share(self, pages: Iterable[int]) -> None:
        """One more holder for each of `pages`. Raises ValueError at a page that is free."""
        ref_counts = self.ref_counts
        for page in pages:
            if ref_counts[page] == 0:
                self._revive(page)
            ref_counts[page] += 1

    def free(self, pages: Iterable[int], keep: Container[int] = ()) -> None:
        """One holder less for each of `pages`; the last one to go keeps the pages in `keep` and frees the others.

        Kept pages are taken back in the order they came. Raises ValueError at a page that has no holder.
        """
        ref_counts, free, kept = self.ref_counts, self._free, self._kept
        for page in pages:
            count = ref_counts[page] - 1
            if count < 0:
                raise ValueError(f"page {page} has no holder; it was freed before.")
            ref_counts[page] = count
            if count == 0:
                if page in keep:
                    kept[page] = None
                else:
                    free.append(page)

    def drop_kept(self) -> None:
        """Every kept page becomes free; `on_reclaim` is not called, as nothing takes their place."""
        self._free.extend(reversed(self._kept))
        self._kept.clear()

    def defragment(self) -> list[Move]:
        """Moves used pages down until all free ones are above them. Returns the moves, for the caller to copy content.

        No destination is a source, so the copies may run in any order. Holders must rename their pages.
        """
        return self._vacate(self.num_pages - len(self._free))

    def shrink(self, count: int) -> list[Move]:
        """Gives up the `count` highest ids: takes back kept pages as needed, and moves what lies there down.

        Returns the moves, as `defragment` does. Raises CapacityError, and changes nothing, if live pages are too many.
        """
        if not 0 <= count <= self.num_free:
            live = self.num_pages - self.num_free
            raise CapacityError(
                f"cannot give up {count} of {self.num_pages} pages: {live} are live; allowed: 0 to {self.num_free}."
            )
        if count > len(self._free):
            self._reclaim(count - len(self._free))
        limit = self.num_pages - count
        moves = self._vacate(limit)
        self._free = [page for page in self._free if page < limit]
        del self.ref_counts[limit:]
        self.num_pages = limit
        return moves

    def grow(self, count: int) -> None:
        """Adds `count` free pages with the next ids; they are given out after the ones that are free now."""
        if count < 0:
            raise ValueError(f"count is {count}; allowed: 0 or more.")
        old = self.num_pages
        self.num_pages = old + count
        self.ref_counts += [0] * count
        self._free[:0] = range(self.num_pages - 1, old - 1, -1)

    def stats(self) -> AllocatorStats:
        num_free = len(self._free)
        is_free = bytearray(self.num_pages)
        for page in self._free:
            is_free[page] = 1
        num_in_tail = self.num_pages - (is_free.rfind(0) + 1)
        return AllocatorStats(
            num_pages=self.num_pages,
            num_free=num_free,
            num_kept=len(self._kept),
            num_live=self.num_pages - self.num_free,
            num_shared=sum(count > 1 for count in self.ref_counts),
            fragmentation=(num_free - num_in_tail) / num_free if num_free else 0.0,
        )

    def check_invariants(self) -> None:
        """AssertionError if a page is in no place, in two, or counted wrongly. O(num_pages)."""
        assert len(self.ref_counts) == self.num_pages
        live = [page for page, count in enumerate(self.ref_counts) if count > 0]
        assert min(self.ref_counts, default=0) >= 0, "a page has fewer than no holders"
        assert sorted([*self._free, *self._kept, *live]) == list(range(self.num_pages)), "a page is lost or held twice"

    def _revive(self, page: int) -> None:
        if page not in self._kept:
            raise ValueError(f"page {page} is free; only live and kept pages can be shared.")
        del self._kept[page]

    def _reclaim(self, count: int) -> None:
        if count > len(self._kept):
            raise CapacityError(
                f"{count + len(self._free)} pages are wanted and {self.num_free} of {self.num_pages} are free; "
                "free some, or make the cache larger."
            )
        pages = [self._kept.popitem(last=False)[0] for _ in range(count)]
        if self._on_reclaim is not None:
            self._on_reclaim(pages)
        self._free.extend(pages)

    def _vacate(self, limit: int) -> list[Move]:
        """Moves every used page at or above `limit` below it. REQUIRES: free pages enough below `limit`."""
        free = sorted(self._free)
        is_free = set(free)
        used_above = [page for page in range(limit, self.num_pages) if page not in is_free]
        moves: list[Move] = list(zip(used_above, free, strict=False))
        for src, dst in moves:
            self.ref_counts[dst], self.ref_counts[src] = self.ref_counts[src], 0
        renamed = dict(moves)
        self._kept = OrderedDict.fromkeys(renamed.get(page, page) for page in self._kept)
        self._free = sorted([*free[len(moves) :], *used_above], reverse=True)
        return moves


def rename(pages: Sequence[int], moves: Iterable[Move]) -> list[int]:
    """`pages` after `moves`."""
    renamed = dict(moves)
    return [renamed.get(page, page) for page in pages]
