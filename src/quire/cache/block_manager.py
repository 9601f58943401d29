"""Which blocks of the KV cache belong to which sequence. Knows ids and digests; the KV itself is the runner's.

    block_table  [ shared by digest or fork …… | own, full …… | last, partly filled ]
    slot of token t = block_table[t // block_size] * block_size + t % block_size

Full blocks become findable by digest at `commit`, and stay so after `free` until their memory is wanted: blocks without
a digest go first, then the block freed longest ago, children before parents. A block is written only while one sequence
holds it; the first write into a shared one is preceded by a copy (`append` returns it).

Invariants (`check_invariants`): the allocator counts each block once per table it is in; a kept block is findable; a
findable block is full, and holds the KV of its digest once the step it was committed in has run; a sequence without
blocks has no promise.

Cost: O(1) a block; `append` and `commit` of a decode that fills no block touch nothing but the sequence.
Threads: all calls come from the thread that owns the sequences.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from quire.cache.events import BlockObserver, BlocksRemoved, BlocksShared, BlocksStored
from quire.cache.paged_allocator import AllocatorStats, Move, PagedAllocator, rename
from quire.cache.prefix_index import PrefixIndex, extend_digests, root_digest
from quire.sequence import Sequence

_NEVER = sys.maxsize
"""Blocks committed by a sequence that may not make any findable; more than it can ever have."""


class PrefixMatch(NamedTuple):
    """What of a sequence is in the cache. Valid until the next call that changes the block manager."""

    block_ids: list[int]
    num_tokens: int
    is_pending: bool
    """The block behind these is about to be computed for a running sequence."""


@dataclass(frozen=True, slots=True)
class BlockStats:
    blocks: AllocatorStats
    num_findable: int
    num_matched_tokens: int
    """Of `num_queried_tokens`, the tokens of all sequences that ever got blocks, those found in the cache."""
    num_queried_tokens: int
    num_evicted: int


class BlockManager:
    def __init__(
        self,
        num_blocks: int,
        block_size: int,
        *,
        enable_prefix_caching: bool = True,
        fingerprint: bytes = b"",
        observer: BlockObserver | None = None,
    ) -> None:
        """`fingerprint` names the model; blocks of different ones are never taken for each other."""
        self.block_size = block_size
        self._is_caching = enable_prefix_caching
        self._fingerprint = fingerprint
        self._observer = observer
        self._allocator = PagedAllocator(num_blocks, on_reclaim=self._forget)
        self._index = PrefixIndex()
        self._num_committed: dict[int, int] = {}
        """Full blocks of each live sequence that `commit` has seen, by seq_id."""
        self._num_matched_tokens = 0
        self._num_queried_tokens = 0
        self._num_evicted = 0

    @property
    def num_blocks(self) -> int:
        return self._allocator.num_pages

    @property
    def num_free_blocks(self) -> int:
        """Blocks that can be had: free ones, and findable ones that no sequence holds."""
        return self._allocator.num_free

    def glance(self) -> tuple[list[int], dict[int, bytes]]:
        """Holders by block, and the digests of findable blocks: copies, for any thread, that may be a step apart."""
        return [*self._allocator.ref_counts], self._index.digests.copy()

    def match(self, seq: Sequence) -> PrefixMatch:
        """The longest prefix of `seq` that is cached, in full blocks, leaving at least one token to compute.

        Changes nothing but `seq.block_digests`, which it extends to all full blocks.
        """
        if self._is_caching:
            self._extend_digests(seq, len(seq.token_ids) // self.block_size)
        if not (self._is_caching and seq.uses_prefix_cache):
            return PrefixMatch([], 0, False)
        limit = (len(seq.token_ids) - 1) // self.block_size
        block_ids = self._index.find(seq.block_digests[:limit])
        found = len(block_ids)
        is_pending = found < limit and self._index.is_promised(seq.block_digests[found])
        return PrefixMatch(block_ids, found * self.block_size, is_pending)

    def can_allocate(self, seq: Sequence, match: PrefixMatch, *, reserve: int = 0) -> bool:
        """Whether `allocate` would succeed and leave `reserve` blocks free."""
        num_wanted, num_free = self._num_blocks_for(seq) + reserve, self._allocator.num_free
        if num_wanted <= num_free:  # enough even if every block of the match has to be revived
            return True
        ref_counts = self._allocator.ref_counts
        return num_wanted - sum(ref_counts[block_id] > 0 for block_id in match.block_ids) <= num_free

    def allocate(self, seq: Sequence, match: PrefixMatch) -> None:
        """Blocks for all tokens of `seq`, the first of them those of `match`; promises the next full one.

        REQUIRES: `can_allocate`; `seq` holds no blocks.
        """
        found = len(match.block_ids)
        self._allocator.share(match.block_ids)
        seq.block_table = match.block_ids + self._allocator.allocate(self._num_blocks_for(seq) - found)
        seq.num_computed_tokens = match.num_tokens
        self._num_committed[seq.seq_id] = found if self._is_caching else _NEVER
        self._promise_next(seq, found)
        self._num_matched_tokens += match.num_tokens
        self._num_queried_tokens += len(seq.token_ids)
        if self._observer is not None and found:
            self._observer(BlocksShared(seq.block_digests[:found]))

    def needs_block(self, seq: Sequence) -> bool:
        """Whether `append` would take a block for the next token: a new one, or a copy of a shared one."""
        return self._num_needed(seq) > 0

    def can_append(self, seq: Sequence) -> bool:
        return self._num_needed(seq) <= self._allocator.num_free

    def append(self, seq: Sequence) -> Move | None:
        """Room for the KV of every token of `seq`. Returns the copy (src, dst) to make before that KV is written.

        The copies of one step must be made in the order they were returned: a block that one of them reads may, once
        its sequence is preempted, be written by a later one. REQUIRES: `can_append`; a token of `seq` is uncomputed.
        """
        table = seq.block_table
        missing = -(-len(seq.token_ids) // self.block_size) - len(table)
        if missing > 0:
            table += self._allocator.allocate(missing)
        first = seq.num_computed_tokens // self.block_size
        if self._allocator.ref_counts[table[first]] == 1:
            return None
        return self._copy_on_write(table, first)

    def commit(self, seq: Sequence, num_tokens: int) -> None:
        """The KV of seq.token_ids[:num_tokens] is in the cache before any later sequence reads it: make it findable.

        REQUIRES: those tokens are final, and the table has their blocks.
        """
        full = num_tokens // self.block_size
        committed = self._num_committed[seq.seq_id]
        if full > committed:
            self._commit_blocks(seq, committed, full)

    def fork(self, parent: Sequence, child: Sequence) -> None:
        """`child` holds every block of `parent`, the partly filled last one included.

        REQUIRES: their tokens are equal, and neither writes before `append` says so, but for what the step that the
        fork was scheduled in still computes of the prompt.
        """
        self._allocator.share(parent.block_table)
        child.block_table = list(parent.block_table)
        self._num_committed[child.seq_id] = self._num_committed[parent.seq_id]

    def free(self, seq: Sequence) -> None:
        """Takes all blocks from `seq`, finished or preempted, and withdraws its promise. Nothing, if it holds none.

        Blocks committed for a step that has not run (they lie behind `num_computed_tokens`) are forgotten. REQUIRES: no
        other sequence was given such a block.
        """
        if seq.seq_id not in self._num_committed:
            return
        if self._num_committed.pop(seq.seq_id) * self.block_size > seq.num_computed_tokens:
            self._forget_uncomputed(seq)
        self._index.promise(seq.seq_id, None)
        self._allocator.free(reversed(seq.block_table), keep=self._index.digests)
        seq.block_table = []
        seq.num_computed_tokens = 0

    def reset(self) -> None:
        """Forgets every findable block: after a failed step nobody knows what the cache holds.

        Sequences keep their blocks until freed, and make none findable before they are allocated anew.
        """
        removed = self._index.clear()
        self._allocator.drop_kept()
        self._num_committed = dict.fromkeys(self._num_committed, _NEVER)
        self._tell_removed(removed)

    def defragment(self, sequences: Iterable[Sequence]) -> list[Move]:
        """Moves used blocks down until the free ones are the highest. Returns the copies to make before the next step.

        `sequences` are all that hold blocks; their tables follow. No destination is a source.
        """
        return self._follow(self._allocator.defragment(), sequences)

    def shrink(self, count: int, sequences: Iterable[Sequence]) -> list[Move]:
        """Gives up the `count` highest blocks, evicting as needed; else like `defragment`.

        Raises CapacityError, and changes nothing, if sequences hold too many.
        """
        return self._follow(self._allocator.shrink(count), sequences)

    def grow(self, count: int) -> None:
        """Adds `count` blocks behind the highest."""
        self._allocator.grow(count)

    def stats(self) -> BlockStats:
        return BlockStats(
            blocks=self._allocator.stats(),
            num_findable=len(self._index),
            num_matched_tokens=self._num_matched_tokens,
            num_queried_tokens=self._num_queried_tokens,
            num_evicted=self._num_evicted,
        )

    def check_invariants(self, live_sequences: Iterable[Sequence]) -> None:
        """AssertionError if tables, counts, index and promises disagree. `live_sequences` are all that hold blocks."""
        live = list(live_sequences)
        ref_counts = self._allocator.ref_counts
        holders = Counter(block_id for seq in live for block_id in seq.block_table)
        assert holders == Counter({b: count for b, count in enumerate(ref_counts) if count}), "a block leaks"
        self._allocator.check_invariants()
        self._index.check_invariants(seq.seq_id for seq in live)
        num_unheld = sum(ref_counts[block_id] == 0 for block_id in self._index.digests)
        assert num_unheld == self._allocator.num_kept, "a block is findable but free, or kept but not findable"
        assert self._num_committed.keys() == {seq.seq_id for seq in live}
        for seq in live:
            assert len(set(seq.block_table)) == len(seq.block_table), "a sequence holds a block twice"
            assert len(seq.block_table) * self.block_size >= seq.num_computed_tokens

    def _num_blocks_for(self, seq: Sequence) -> int:
        return -(-len(seq.token_ids) // self.block_size)

    def _num_needed(self, seq: Sequence) -> int:
        """Blocks that `append` would take."""
        table = seq.block_table
        missing = -(-len(seq.token_ids) // self.block_size) - len(table)
        first = seq.num_computed_tokens // self.block_size
        is_copied = first < len(table) and self._allocator.ref_counts[table[first]] > 1
        return max(missing, 0) + is_copied

    def _copy_on_write(self, table: list[int], position: int) -> Move:
        src = table[position]
        (dst,) = self._allocator.allocate(1)
        self._allocator.free((src,))
        table[position] = dst
        return src, dst

    def _root(self, seq: Sequence) -> bytes:
        return root_digest(self._fingerprint, cache_salt=seq.cache_salt)

    def _extend_digests(self, seq: Sequence, num_blocks: int) -> None:
        if num_blocks > len(seq.block_digests):
            extend_digests(seq.block_digests, self._root(seq), seq.token_ids, self.block_size, num_blocks)

    def _commit_blocks(self, seq: Sequence, committed: int, full: int) -> None:
        self._extend_digests(seq, full)
        digests = seq.block_digests[committed:full]
        added = self._index.store(digests, seq.block_table[committed:full])
        self._num_committed[seq.seq_id] = full
        self._promise_next(seq, full)
        if self._observer is not None and added:
            token_ids = seq.token_ids[committed * self.block_size : full * self.block_size]
            parent = seq.block_digests[committed - 1] if committed else self._root(seq)
            self._observer(BlocksStored(digests, parent, token_ids, self.block_size))

    def _promise_next(self, seq: Sequence, position: int) -> None:
        """Of the full blocks that `seq` will compute, the next one is promised; `commit` moves the promise on."""
        digests = seq.block_digests
        self._index.promise(seq.seq_id, digests[position] if position < len(digests) else None)

    def _forget(self, block_ids: list[int]) -> None:
        self._num_evicted += len(block_ids)
        self._tell_removed(self._index.remove(block_ids))

    def _follow(self, moves: list[Move], sequences: Iterable[Sequence]) -> list[Move]:
        self._index.rename(moves)
        for seq in sequences:
            seq.block_table = rename(seq.block_table, moves)
        return moves

    def _forget_uncomputed(self, seq: Sequence) -> None:
        first = seq.num_computed_tokens // self.block_size
        block_ids = [block_id for block_id in seq.block_table[first:] if block_id in self._index.digests]
        self._tell_removed(self._index.remove(block_ids))

    def _tell_removed(self, digests: list[bytes]) -> None:
        if self._observer is not None and digests:
            self._observer(BlocksRemoved(digests))
