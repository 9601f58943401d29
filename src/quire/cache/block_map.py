"""What each block of a KV cache is doing, as a picture with a letter for each, for somebody who watches.

    .  free      f  nobody holds it, but its content can be found      h  held      s  held by several

A capital letter is a hot block: found again and again of late. Where blocks are more than cells, a cell shows the one
of its blocks that is last in `STATES`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

STATES = ".fhsFHS"


@dataclass(frozen=True, slots=True)
class BlockMap:
    cells: str
    blocks_per_cell: int
    counts: dict[str, int]
    """Blocks by state."""


def map_blocks(
    ref_counts: Sequence[int], digests: Mapping[int, bytes], hot: Collection[bytes], *, max_cells: int
) -> BlockMap:
    """`digests` are those of findable blocks, by block id."""
    letters = "".join(_letter(count, digests.get(block_id), hot) for block_id, count in enumerate(ref_counts))
    size = max(1, -(-len(letters) // max_cells))
    cells = (
        letters
        if size == 1
        else "".join(max(letters[start : start + size], key=STATES.index) for start in range(0, len(letters), size))
    )
    return BlockMap(cells, size, {state: letters.count(state) for state in STATES})


def _letter(num_holders: int, digest: bytes | None, hot: Collection[bytes]) -> str:
    if num_holders == 0 and digest is None:
        return "."
    letter = "fhs"[min(num_holders, 2)]
    return letter.upper() if digest in hot else letter
