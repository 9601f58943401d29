"""An answer as blocks, one after another: thoughts, text, and calls of tools, each opened, grown and closed.

What the Responses API calls items and the Anthropic API content blocks. Invariant: at most one block is open.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum, auto

from quire.engine.outputs import CompletionOutput
from quire.sequence import FinishReason
from quire.server.parsing.parts import CallArguments, CallBegin, CallEnd, Part, Text, Thought, settled
from quire.server.parsing.reader import Parser, read_whole


class BlockKind(StrEnum):
    THOUGHT = auto()
    TEXT = auto()
    CALL = auto()


@dataclass(slots=True)
class Block:
    index: int
    kind: BlockKind
    name: str = ""
    """Of a call."""
    text: str = ""
    """Of a call: its arguments, as the model wrote them."""
    is_complete: bool = True
    """Else the answer broke off in it."""


@dataclass(frozen=True, slots=True)
class Opened:
    block: Block


@dataclass(frozen=True, slots=True)
class Grown:
    block: Block
    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    block: Block


Change = Opened | Grown | Closed


class Blocks:
    """Of one answer."""

    def __init__(self, reader: Parser, *, has_thoughts: bool = True) -> None:
        """Without thoughts they are left out."""
        self.all: list[Block] = []
        self._reader = reader
        self._has_thoughts = has_thoughts
        self._open: Block | None = None

    @property
    def has_calls(self) -> bool:
        return any(block.kind is BlockKind.CALL for block in self.all)

    def read_whole(self, completion: CompletionOutput) -> None:
        """The blocks of an answer that is there at once."""
        parts = settled(read_whole(self._reader, completion.text))
        for _ in self._changes(parts):
            pass
        for _ in self._close(is_complete=completion.finish_reason is not FinishReason.LENGTH):
            pass

    def push(self, completion: CompletionOutput) -> Iterator[Change]:
        """What a further piece of the answer changes; all is closed with the last."""
        if completion.text:
            yield from self._changes(self._reader.push(completion.text))
        if completion.is_finished:
            yield from self._changes(self._reader.finish())
            yield from self._close(is_complete=completion.finish_reason is not FinishReason.LENGTH)

    def _changes(self, parts: Iterable[Part]) -> Iterator[Change]:
        for part in parts:
            match part:
                case Thought(text) if self._has_thoughts:
                    yield from self._told(BlockKind.THOUGHT, text)
                case Text(text):
                    yield from self._told(BlockKind.TEXT, text)
                case CallBegin(_, name):
                    yield from self._begin(BlockKind.CALL, name)
                case CallArguments(_, text):
                    yield from self._told(BlockKind.CALL, text)
                case CallEnd(_, is_complete):
                    yield from self._close(is_complete=is_complete)

    def _told(self, kind: BlockKind, text: str) -> Iterator[Change]:
        if self._open is None or self._open.kind is not kind:
            yield from self._begin(kind)
        assert self._open is not None
        self._open.text += text
        yield Grown(self._open, text)

    def _begin(self, kind: BlockKind, name: str = "") -> Iterator[Change]:
        yield from self._close(is_complete=True)
        self._open = Block(len(self.all), kind, name)
        self.all.append(self._open)
        yield Opened(self._open)

    def _close(self, *, is_complete: bool) -> Iterator[Change]:
        if self._open is not None:
            block, self._open = self._open, None
            block.is_complete = is_complete
            yield Closed(block)
