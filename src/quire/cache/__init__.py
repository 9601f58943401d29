"""What was computed and may be wanted again, and where does it lie?

Pages, prefixes, and the blocks of running sequences.

useful for      holding many KV caches in little memory, finding a prefix that is there already, giving memory back
not useful for  deciding who goes next (quire.scheduling), computing KV (quire.engine)
"""

from quire.cache.block_manager import BlockManager, BlockStats, PrefixMatch
from quire.cache.events import BlockEvent, BlocksRemoved, BlocksShared, BlocksStored
from quire.cache.kv_cache import KVCache, KVCacheStats
from quire.cache.paged_allocator import AllocatorStats, PagedAllocator
from quire.cache.prefix_index import PrefixIndex
from quire.cache.token_budget import NO_LIMIT, BudgetStats, TokenBudget, Tokens
from quire.cache.token_lru import TokenLRU

__all__ = [
    "NO_LIMIT",
    "AllocatorStats",
    "BlockEvent",
    "BlockManager",
    "BlockStats",
    "BlocksRemoved",
    "BlocksShared",
    "BlocksStored",
    "BudgetStats",
    "KVCache",
    "KVCacheStats",
    "PagedAllocator",
    "PrefixIndex",
    "PrefixMatch",
    "TokenBudget",
    "TokenLRU",
    "Tokens",
]
