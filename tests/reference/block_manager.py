"""The block manager as slow as it is obvious: blocks are objects, a digest is the salt and the whole prefix itself."""

from dataclasses import dataclass

from quire.sequence import Sequence

Key = tuple[str, tuple[int, ...]]


@dataclass(eq=False)
class Block:
    key: Key | None = None
    """What makes it findable."""


@dataclass(eq=False)
class Holding:
    """What one sequence holds."""

    table: list[Block]
    num_committed: int
    num_promised: int = 0
    """Full blocks the sequence had when admitted; it promises the next of them."""
    is_barred: bool = False
    """A reset came in between; it makes nothing findable."""


class SlowBlockManager:
    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.held: dict[int, tuple[Sequence, Holding]] = {}
        self.kept: list[Block] = []

    def key(self, seq: Sequence, num_blocks: int) -> Key:
        return seq.cache_salt, tuple(seq.token_ids[: num_blocks * self.block_size])

    def live(self) -> list[Block]:
        return list({id(b): b for _, holding in self.held.values() for b in holding.table}.values())

    def findable(self) -> dict[Key, Block]:
        return {b.key: b for b in self.live() + self.kept if b.key is not None}

    def promised(self) -> list[Key]:
        return [
            self.key(seq, holding.num_committed + 1)
            for seq, holding in self.held.values()
            if not holding.is_barred and holding.num_committed < holding.num_promised
        ]

    def num_free(self) -> int:
        return self.num_blocks - len(self.live())

    def match(self, seq: Sequence) -> tuple[list[Block], bool]:
        if not seq.uses_prefix_cache:
            return [], False
        blocks: list[Block] = []
        limit = (len(seq.token_ids) - 1) // self.block_size
        while len(blocks) < limit:
            key = self.key(seq, len(blocks) + 1)
            if key not in self.findable():
                return blocks, key in self.promised()
            blocks.append(self.findable()[key])
        return blocks, False

    def num_needed(self, seq: Sequence, blocks: list[Block]) -> int:
        num_new = -(-len(seq.token_ids) // self.block_size) - len(blocks)
        return num_new + len([b for b in blocks if b in self.kept])

    def take(self, count: int) -> list[Block]:
        while count > self.num_free() - len(self.kept):
            self.kept.pop(0).key = None
        return [Block() for _ in range(count)]

    def allocate(self, seq: Sequence, blocks: list[Block]) -> None:
        num_new = -(-len(seq.token_ids) // self.block_size) - len(blocks)
        self.kept = [b for b in self.kept if b not in blocks]
        holding = Holding(list(blocks), len(blocks), num_promised=len(seq.token_ids) // self.block_size)
        self.held[seq.seq_id] = seq, holding
        holding.table += self.take(num_new)

    def is_shared(self, block: Block) -> bool:
        return sum(block in holding.table for _, holding in self.held.values()) > 1

    def num_needed_to_append(self, seq: Sequence) -> int:
        table = self.held[seq.seq_id][1].table
        first = seq.num_computed_tokens // self.block_size
        num_copies = first < len(table) and self.is_shared(table[first])
        return -(-len(seq.token_ids) // self.block_size) - len(table) + num_copies

    def append(self, seq: Sequence) -> bool:
        """True if a block was replaced by a copy."""
        table = self.held[seq.seq_id][1].table
        table += self.take(-(-len(seq.token_ids) // self.block_size) - len(table))
        first = seq.num_computed_tokens // self.block_size
        if not self.is_shared(table[first]):
            return False
        (table[first],) = self.take(1)
        return True

    def commit(self, seq: Sequence, num_tokens: int) -> None:
        holding = self.held[seq.seq_id][1]
        for i in range(holding.num_committed, num_tokens // self.block_size):
            if not holding.is_barred and self.key(seq, i + 1) not in self.findable():
                holding.table[i].key = self.key(seq, i + 1)
            holding.num_committed = i + 1

    def fork(self, parent: Sequence, child: Sequence) -> None:
        holding = self.held[parent.seq_id][1]
        copy = Holding(list(holding.table), holding.num_committed, is_barred=holding.is_barred)
        self.held[child.seq_id] = child, copy

    def free(self, seq: Sequence) -> None:
        table = self.held[seq.seq_id][1].table
        for block in table[seq.num_computed_tokens // self.block_size :]:
            block.key = None
        del self.held[seq.seq_id]
        live = self.live()
        self.kept += [b for b in reversed(table) if b not in live and b.key is not None]

    def reset(self) -> None:
        for block in self.live():
            block.key = None
        self.kept.clear()
        for _, holding in self.held.values():
            holding.is_barred = True

    def shrink(self, count: int) -> None:
        self.num_blocks -= count
        while len(self.kept) > self.num_free():
            self.kept.pop(0).key = None
