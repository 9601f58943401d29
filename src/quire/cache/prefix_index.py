"""Finds the page that holds the KV of a token prefix. Knows digests and page ids; nothing of sequences or tensors.

The digest of a full block is SHA-256 over the digest before it and its token ids, so it stands for the block and all
tokens before it. The chain starts at a root that names everything else the KV depends on: the model, the adapter, and
the salt that keeps tenants apart.

    root    = SHA-256(framed(model fingerprint), framed(adapter), framed(cache salt))     framed(x) = length, x
    d[0]    = SHA-256(root || token ids of block 0)          token ids as int32 little-endian
    d[i]    = SHA-256(d[i-1] || token ids of block i)

A promise says that the page of a digest is about to be computed, so that others may wait for it and not compute it too.

Invariant: digest -> page and page -> digest are inverses of each other; an owner has at most one promise.

Cost: O(1) a digest. Threads: none of it is locked.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from quire._native import hash_blocks
from quire.cache.paged_allocator import Move


@lru_cache(maxsize=256)
def root_digest(fingerprint: bytes, *, adapter: str = "", cache_salt: str = "") -> bytes:
    """The digest before the first block. Its parts are framed by their lengths, so none can pass for another."""
    root = hashlib.sha256()
    for part in (fingerprint, _any_text(adapter), _any_text(cache_salt)):
        root.update(len(part).to_bytes(8, "little"))
        root.update(part)
    return root.digest()


def _any_text(text: str) -> bytes:
    """Also of text that is no Unicode: half a surrogate pair is as good a name as any."""
    return text.encode("utf-8", "surrogatepass")


def extend_digests(digests: list[bytes], root: bytes, token_ids: list[int], block_size: int, num_blocks: int) -> None:
    """Makes `digests` the chain of the first `num_blocks` full blocks of `token_ids`, from what it holds already."""
    done = len(digests)
    if num_blocks > done:
        parent = digests[-1] if done else root
        digests += hash_blocks(parent, token_ids, done * block_size, block_size, num_blocks - done)


class PrefixIndex:
    """Digest -> page. `digests` is the other direction, and says which pages are worth keeping."""

    __slots__ = ("_pages", "_promised", "_promises", "digests")

    def __init__(self) -> None:
        self._pages: dict[bytes, int] = {}
        self.digests: dict[int, bytes] = {}
        """Page -> digest. For reading."""
        self._promises: dict[int, bytes] = {}
        self._promised: dict[bytes, int] = {}
        """How many owners promise a digest."""

    def __len__(self) -> int:
        return len(self._pages)

    def find(self, digests: Sequence[bytes]) -> list[int]:
        """The pages of the longest prefix of the chain `digests` that is here."""
        pages = []
        page_of = self._pages.get
        for digest in digests:
            page = page_of(digest)
            if page is None:
                break
            pages.append(page)
        return pages

    def store(self, digests: Sequence[bytes], pages: Sequence[int]) -> list[bytes]:
        """Names `pages` by `digests`; returns the digests that are new. The first page of a digest stays its page."""
        added = []
        page_of, digest_of = self._pages, self.digests
        for digest, page in zip(digests, pages, strict=True):
            if digest not in page_of:
                page_of[digest] = page
                digest_of[page] = digest
                added.append(digest)
        return added

    def remove(self, pages: Iterable[int]) -> list[bytes]:
        """Forgets `pages`, all of which are here; returns their digests."""
        digests = [self.digests.pop(page) for page in pages]
        for digest in digests:
            del self._pages[digest]
        return digests

    def rename(self, moves: Iterable[Move]) -> None:
        """Follows pages that were moved. Pages that are not here are passed over."""
        for src, dst in moves:
            digest = self.digests.pop(src, None)
            if digest is not None:
                self.digests[dst] = digest
                self._pages[digest] = dst

    def promise(self, owner: int, digest: bytes | None) -> None:
        """`owner` will compute `digest` next, and no longer what it promised before. None promises nothing."""
        before = self._promises.pop(owner, None)
        promised = self._promised
        if before is not None:
            if promised[before] == 1:
                del promised[before]
            else:
                promised[before] -= 1
        if digest is not None:
            self._promises[owner] = digest
            promised[digest] = promised.get(digest, 0) + 1

    def is_promised(self, digest: bytes) -> bool:
        return digest in self._promised

    def clear(self) -> list[bytes]:
        """Forgets every page and every promise; returns the digests of the pages."""
        digests = list(self._pages)
        self._pages.clear()
        self.digests.clear()
        self._promises.clear()
        self._promised.clear()
        return digests

    def check_invariants(self, owners: Iterable[int]) -> None:
        """AssertionError if the two directions disagree, or someone outside `owners` has a promise."""
        assert {page: digest for digest, page in self._pages.items()} == self.digests
        assert Counter(self._promises.values()) == self._promised
        assert self._promises.keys() <= set(owners), "a promise outlived its owner"
