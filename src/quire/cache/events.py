"""What happens to the blocks of a KV cache, as a stream: for metrics, the dashboard, and routing by cached prefix.

An observer is called once per change with every block it touches, in the thread that made the change and before that
call returns; it must be quick and must not call back. Without an observer no event is made.

A digest names a block and all tokens before it (see `prefix_index`), so a replica's events are enough to know which
prefixes it can serve.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BlocksStored:
    """These blocks can be found; some may have been so before. They follow each other, behind `parent`."""

    digests: Sequence[bytes]
    parent: bytes
    token_ids: Sequence[int]
    """The tokens of all of them, `block_size` each."""
    block_size: int


@dataclass(frozen=True, slots=True)
class BlocksShared:
    """A sequence found these blocks and holds them now."""

    digests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class BlocksRemoved:
    """These blocks can no longer be found."""

    digests: Sequence[bytes]


BlockEvent = BlocksStored | BlocksShared | BlocksRemoved
BlockObserver = Callable[[BlockEvent], None]
