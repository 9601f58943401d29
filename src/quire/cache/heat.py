"""How often the blocks of a cache are found again: an observer that counts, and forgets by halves as time goes by.

Invariant: only blocks that can be found are counted, so there are never more counts than blocks.
Threads: events come from one; `hot` may be asked from any.
"""

import time
from collections.abc import Callable

from quire.cache.events import BlockEvent, BlocksRemoved, BlocksShared

HALVING_S = 60.0
HOT = 2.0
"""Found again so often, of late."""


class BlockHeat:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[bytes, float] = {}
        self._halved_s = clock()

    def __call__(self, event: BlockEvent) -> None:
        if isinstance(event, BlocksShared):
            self._cool()
            for digest in event.digests:
                self._counts[digest] = self._counts.get(digest, 0.0) + 1.0
        elif isinstance(event, BlocksRemoved):
            for digest in event.digests:
                self._counts.pop(digest, None)

    def hot(self) -> set[bytes]:
        """The digests of blocks that were found often of late."""
        left = 0.5 ** self._num_halvings()
        return {digest for digest, count in self._counts.copy().items() if count * left >= HOT}

    def _cool(self) -> None:
        num_halvings = self._num_halvings()
        if num_halvings:
            self._halved_s += num_halvings * HALVING_S
            left = 0.5**num_halvings  # 0 after a day: the other way round it would be more than a float holds
            cooled = {digest: count * left for digest, count in self._counts.items()}
            self._counts = {digest: count for digest, count in cooled.items() if count > HOT / 8}

    def _num_halvings(self) -> int:
        return int((self._clock() - self._halved_s) // HALVING_S)
