"""How large may the KV cache be now? Less while the system is short of memory, all of it again when it is not.

Knows numbers of bytes and blocks; the engine does the resizing. What it asks for is given back at once when the system
runs short, and taken again slowly, so that two processes on one machine do not chase each other.
"""

from collections.abc import Callable

from quire.memory.device import available_memory_bytes, total_memory_bytes

INTERVAL_S = 1.0
"""The system is asked this often; it takes about a tenth of a millisecond."""
DEFAULT_SHARE = 32
MIN_STEP = 8
"""A change is at least an 8th of the cache: blocks given up may have held nothing, and then no memory came of them."""


class MemoryGuard:
    """Thread safety: one thread."""

    def __init__(
        self,
        block_bytes: int,
        min_free_bytes: int | None,
        *,
        available_bytes: Callable[[], int] = available_memory_bytes,
    ) -> None:
        self._block_bytes = block_bytes
        self._min_free_bytes = total_memory_bytes() // DEFAULT_SHARE if min_free_bytes is None else min_free_bytes
        self._available_bytes = available_bytes
        self._asked_s = float("-inf")

    def wanted_blocks(self, num_blocks: int, limits: tuple[int, int], now_s: float) -> int:
        """How many blocks the cache should have, within `limits`; asks the system at most once an interval."""
        if now_s - self._asked_s < INTERVAL_S or not self._min_free_bytes:
            return num_blocks
        self._asked_s = now_s
        low, high = limits
        step = max(1, high // MIN_STEP)
        spare_bytes = self._available_bytes() - self._min_free_bytes
        if spare_bytes < 0:
            return max(low, num_blocks - max(step, -spare_bytes // self._block_bytes))
        if spare_bytes > self._min_free_bytes and num_blocks < high:
            return min(high, num_blocks + min(step, spare_bytes // self._block_bytes))
        return num_blocks
