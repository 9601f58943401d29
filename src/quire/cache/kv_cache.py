"""Keys and values of many token sequences in shared pages: equal prefixes are stored once, forks cost nothing.

The engine's own cache is `BlockManager` beside a tensor on the device; this is the same idea as a library, with numpy
arrays, for whoever computes KV elsewhere. A sequence is named by the caller. Tokens whose ids are known are indexed in
full pages, so that a later sequence with the same prefix shares them, wholly or in part; the others are private.

    pages  [ full, ids known: shared by digest …… | full, private …… | last, partly filled ]

Pages stay findable after `detach` until their memory is wanted, the one unused longest first. A page is written only
while one sequence holds it: the first write into a shared page goes to a copy. What `get` returns is a copy too, so
nothing that is done to it can reach another sequence.

Invariant: what `get` returns for a sequence is what was attached and appended to it.

Cost: O(pages) for attach, fork and detach, and O(pages of the prefix) for lookup, besides the copying of what is new.
Threads: every call is atomic.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quire.cache.events import BlockObserver, BlocksRemoved, BlocksShared, BlocksStored
from quire.cache.paged_allocator import AllocatorStats, Move, PagedAllocator, rename
from quire.cache.prefix_index import PrefixIndex, extend_digests, root_digest
from quire.errors import CapacityError
from quire.memory.buffers import release_pages

Array = NDArray[Any]


@dataclass(slots=True)
class _Attached:
    """One sequence: where its KV is, and the ids of its tokens as far as they are known without a gap."""

    root: bytes
    token_ids: list[int]
    num_tokens: int = 0
    pages: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    num_indexed: int = 0
    """Pages that the index was told of."""

    def fork(self) -> "_Attached":
        return _Attached(
            self.root, list(self.token_ids), self.num_tokens, list(self.pages), list(self.digests), self.num_indexed
        )


@dataclass(frozen=True, slots=True)
class KVCacheStats:
    pages: AllocatorStats
    num_sequences: int
    num_tokens: int
    """Over all sequences, shared ones counted each time."""
    num_findable_pages: int
    num_copied_pages: int
    """Shared pages that were copied because a sequence wrote into them."""
    used_bytes: int
    """Memory of the pages that sequences hold."""


class KVCache:
    """Room for `num_pages` pages of `page_size` tokens; keys and values of a token have `token_shape` each."""

    def __init__(
        self,
        num_pages: int,
        page_size: int,
        token_shape: tuple[int, ...],
        *,
        dtype: DTypeLike = np.float32,
        fingerprint: bytes = b"",
        observer: BlockObserver | None = None,
    ) -> None:
        """`fingerprint` names what computed the KV; caches of different ones never produce the same digests."""
        if page_size < 1:
            raise ValueError(f"page_size is {page_size}; allowed: 1 or more.")
        self.page_size = page_size
        self.token_shape = token_shape
        self._fingerprint = fingerprint
        self._observer = observer
        self._lock = RLock()
        self._allocator = PagedAllocator(num_pages, on_reclaim=self._forget)
        self._index = PrefixIndex()
        self._kv = np.zeros((num_pages, 2, page_size, *token_shape), dtype)
        self._attached: dict[Hashable, _Attached] = {}
        self._num_copied_pages = 0

    def __contains__(self, seq_id: Hashable) -> bool:
        return seq_id in self._attached

    def num_tokens(self, seq_id: Hashable) -> int:
        """Raises KeyError if there is no such sequence, as do all that take a `seq_id`."""
        return self._get(seq_id).num_tokens

    def lookup(self, token_ids: list[int], *, cache_salt: str = "") -> int:
        """How many of the first tokens are here, in full pages. Another thread may push them out any time."""
        with self._lock:
            root = self._root(cache_salt)
            return len(self._find(root, token_ids, [])) * self.page_size

    def attach(
        self,
        seq_id: Hashable,
        keys: Array,
        values: Array,
        prefix_token_ids: list[int],
        *,
        keys_start: int = 0,
        cache_salt: str = "",
    ) -> int:
        """Makes the sequence `seq_id` of these keys and values; returns how many of its tokens were here already.

        keys and values [num_new, *token_shape] are those of the tokens from `keys_start` on. `prefix_token_ids` are the
        ids of the first tokens, all or not; those before `keys_start` must be here (`lookup`), else LookupError comes.
        Sequences with different salts never share. Raises CapacityError, and changes nothing, if pages are short.
        """
        with self._lock:
            if seq_id in self._attached:
                raise ValueError(f"{seq_id!r} is attached already; detach it first, or append to it.")
            self._check_kv(keys, values)
            num_tokens = keys_start + len(keys)
            if len(prefix_token_ids) > num_tokens:
                raise ValueError(
                    f"{len(prefix_token_ids)} token ids for {num_tokens} tokens; allowed: at most one each."
                )
            seq = _Attached(self._root(cache_salt), list(prefix_token_ids))
            found = self._find(seq.root, seq.token_ids, seq.digests)
            num_found = len(found) * self.page_size
            if num_found < keys_start:
                raise LookupError(f"keys start at token {keys_start}, but only {num_found} tokens before are here.")
            self._allocator.share(found)
            seq.pages, seq.num_indexed, seq.num_tokens = list(found), len(found), num_found
            self._write_or_undo(seq, keys[num_found - keys_start :], values[num_found - keys_start :])
            self._attached[seq_id] = seq
            if self._observer is not None and found:
                self._observer(BlocksShared(seq.digests[: len(found)]))
            return num_found

    def append(self, seq_id: Hashable, keys: Array, values: Array, token_ids: list[int] | None = None) -> None:
        """Adds the KV of further tokens. Without their ids, the pages from here on are private.

        Raises CapacityError, and changes nothing, if pages are short.
        """
        with self._lock:
            seq = self._get(seq_id)
            self._check_kv(keys, values)
            if token_ids is not None and len(token_ids) != len(keys):
                raise ValueError(f"{len(token_ids)} token ids for {len(keys)} keys; give one for each, or None.")
            self._reserve(seq, len(keys))
            if token_ids is not None and len(seq.token_ids) == seq.num_tokens:
                seq.token_ids += token_ids
            self._write(seq, keys, values)

    def get(self, seq_id: Hashable, start: int = 0, end: int | None = None) -> tuple[Array, Array]:
        """Keys and values of the tokens start..end-1, as new arrays [end - start, *token_shape]: indexing by a list of
        pages copies them."""
        with self._lock:
            seq = self._get(seq_id)
            end = seq.num_tokens if end is None else end
            if not 0 <= start <= end <= seq.num_tokens:
                raise IndexError(f"tokens {start} to {end} of {seq_id!r} are wanted; it has {seq.num_tokens}.")
            first, last = start // self.page_size, -(-end // self.page_size)
            pages = np.asarray(seq.pages[first:last], np.intp)
            wanted = slice(start - first * self.page_size, end - first * self.page_size)
            keys, values = (self._kv[pages, part].reshape(-1, *self.token_shape) for part in (0, 1))
            return keys[wanted], values[wanted]

    def fork(self, parent_id: Hashable, child_id: Hashable) -> None:
        """Makes `child_id` a sequence with the same KV, sharing every page until one of the two writes into it."""
        with self._lock:
            parent = self._get(parent_id)
            if child_id in self._attached:
                raise ValueError(f"{child_id!r} is attached already; detach it first.")
            self._allocator.share(parent.pages)
            self._attached[child_id] = parent.fork()

    def detach(self, seq_id: Hashable) -> None:
        """Ends the sequence. Its indexed pages stay findable until their memory is wanted, the last page goes first."""
        with self._lock:
            seq = self._get(seq_id)
            del self._attached[seq_id]
            self._allocator.free(reversed(seq.pages), keep=self._index.digests)

    def shrink(self, count: int) -> int:
        """Gives the memory of `count` pages back to the system; returns how many bytes of it are free now.

        Raises CapacityError, and changes nothing, if sequences hold too many.
        """
        with self._lock:
            self._follow(self._allocator.shrink(count))
            tail = self._kv[self._allocator.num_pages :]
            return release_pages(tail.ctypes.data, tail.nbytes)

    def grow(self, count: int) -> None:
        """Takes up to `count` pages into use again that `shrink` gave away; the array itself never grows."""
        with self._lock:
            free = len(self._kv) - self._allocator.num_pages
            if not 0 <= count <= free:
                raise ValueError(f"cannot grow by {count} pages; allowed: 0 to {free}, what was shrunk before.")
            self._allocator.grow(count)

    def stats(self) -> KVCacheStats:
        with self._lock:
            pages = self._allocator.stats()
            return KVCacheStats(
                pages=pages,
                num_sequences=len(self._attached),
                num_tokens=sum(seq.num_tokens for seq in self._attached.values()),
                num_findable_pages=len(self._index),
                num_copied_pages=self._num_copied_pages,
                used_bytes=pages.num_live * self._kv[:1].nbytes,
            )

    def check_invariants(self) -> None:
        """AssertionError if counts, index and sequences disagree. O(pages)."""
        with self._lock:
            self._allocator.check_invariants()
            self._index.check_invariants(owners=())
            ref_counts = self._allocator.ref_counts
            holders = Counter(page for seq in self._attached.values() for page in seq.pages)
            assert holders == Counter({page: count for page, count in enumerate(ref_counts) if count}), "a page leaks"
            assert sum(ref_counts[page] == 0 for page in self._index.digests) == self._allocator.num_kept
            for seq in self._attached.values():
                assert len(seq.pages) == -(-seq.num_tokens // self.page_size)

    def _get(self, seq_id: Hashable) -> _Attached:
        if seq_id not in self._attached:
            raise KeyError(f"{seq_id!r} is not attached.")
        return self._attached[seq_id]

    def _root(self, cache_salt: str) -> bytes:
        return root_digest(self._fingerprint, cache_salt=cache_salt)

    def _check_kv(self, keys: Array, values: Array) -> None:
        for name, array in (("keys", keys), ("values", values)):
            if array.shape != (len(keys), *self.token_shape):
                allowed = ", ".join(map(str, (len(keys), *self.token_shape)))
                raise ValueError(f"{name} have the shape {array.shape}; allowed: ({allowed}).")
            if not np.can_cast(array.dtype, self._kv.dtype, "same_kind"):
                raise ValueError(f"{name} are {array.dtype}, which this cache of {self._kv.dtype} cannot hold.")

    def _find(self, root: bytes, token_ids: list[int], digests: list[bytes]) -> list[int]:
        extend_digests(digests, root, token_ids, self.page_size, len(token_ids) // self.page_size)
        return self._index.find(digests)

    def _write_or_undo(self, seq: _Attached, keys: Array, values: Array) -> None:
        try:
            self._reserve(seq, len(keys))
        except CapacityError:
            self._allocator.free(reversed(seq.pages), keep=self._index.digests)
            raise
        self._write(seq, keys, values)

    def _reserve(self, seq: _Attached, count: int) -> None:
        """Pages for `count` more tokens, none of them shared where they will be written."""
        used = seq.num_tokens % self.page_size
        is_shared = count > 0 and used > 0 and self._allocator.ref_counts[seq.pages[-1]] > 1
        num_new = -(-(seq.num_tokens + count) // self.page_size) - len(seq.pages)
        pages = self._allocator.allocate(num_new + is_shared)
        if is_shared:
            shared, copy = seq.pages[-1], pages.pop()
            self._kv[copy, :, :used] = self._kv[shared, :, :used]
            self._allocator.free((shared,))
            seq.pages[-1] = copy
            self._num_copied_pages += 1
        seq.pages += pages

    def _write(self, seq: _Attached, keys: Array, values: Array) -> None:
        """REQUIRES: `_reserve` for as many."""
        positions = np.arange(seq.num_tokens, seq.num_tokens + len(keys))
        pages, offsets = np.asarray(seq.pages, np.intp)[positions // self.page_size], positions % self.page_size
        self._kv[pages, 0, offsets] = keys
        self._kv[pages, 1, offsets] = values
        seq.num_tokens += len(keys)
        self._index_full_pages(seq)

    def _index_full_pages(self, seq: _Attached) -> None:
        done, full = seq.num_indexed, len(seq.token_ids) // self.page_size
        if full <= done:
            return
        extend_digests(seq.digests, seq.root, seq.token_ids, self.page_size, full)
        digests = seq.digests[done:full]
        added = self._index.store(digests, seq.pages[done:full])
        seq.num_indexed = full
        if self._observer is not None and added:
            parent = seq.digests[done - 1] if done else seq.root
            token_ids = seq.token_ids[done * self.page_size : full * self.page_size]
            self._observer(BlocksStored(digests, parent, token_ids, self.page_size))

    def _forget(self, pages: list[int]) -> None:
        digests = self._index.remove(pages)
        if self._observer is not None:
            self._observer(BlocksRemoved(digests))

    def _follow(self, moves: list[Move]) -> None:
        if moves:
            src, dst = (list(pages) for pages in zip(*moves, strict=True))
            self._kv[dst] = self._kv[src]
        self._index.rename(moves)
        for seq in self._attached.values():
            seq.pages = rename(seq.pages, moves)
