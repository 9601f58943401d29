"""A document as a chunker sees it: what it says, in blocks that belong together, each below its headings.

    # Guide            heading "Guide"
    First words.       block, heading "Guide"
    ## Install         heading "Guide > Install"
    - one              block, heading "Guide > Install"
    - two              block, heading "Guide > Install"

A heading is no block, unless nothing stands below it: then its words would be lost.
"""

from bisect import bisect_right
from dataclasses import dataclass, field

SEPARATOR = " > "


@dataclass(frozen=True, slots=True)
class Block:
    """[start, end) of the outline's text: a paragraph, an item of a list, a row of a table, a piece of code."""

    start: int
    end: int
    section: int
    """Counts what stands below one heading; blocks of two sections are never put together."""
    heading: str | None
    is_lines: bool = False
    """Broken between lines if it must be: code and tables."""


@dataclass(frozen=True, slots=True)
class Outline:
    text: str
    blocks: list[Block]
    runs: list[tuple[int, int]] = field(default_factory=list)
    """(where in `text`, where in the document) of each run that was taken over as it is; none where all of it was."""

    def place(self, position: int) -> int:
        """Where in the document the character at `position` of the text lies."""
        if not self.runs:
            return position
        ours, theirs = self.runs[max(bisect_right(self.runs, position, key=lambda run: run[0]) - 1, 0)]
        return theirs + position - ours


@dataclass(slots=True)
class OutlineBuilder:
    """Headings and blocks come in the order of the text."""

    blocks: list[Block] = field(default_factory=list)
    _path: list[tuple[int, str]] = field(default_factory=list)
    _bare: tuple[int, int, int] | None = None
    """Level, start and end of the last heading, while nothing stands below it."""
    _section: int = 0

    def add_heading(self, level: int, words: str, start: int, end: int) -> None:
        """`level` 1 is the highest but for 0, the title of the whole."""
        if self._bare is not None and level <= self._bare[0]:
            self._keep_bare()
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, " ".join(words.split())))
        self._section += 1
        self._bare = (level, start, end)

    def add_block(self, start: int, end: int, *, is_lines: bool = False) -> None:
        self._bare = None
        self.blocks.append(Block(start, end, self._section, self._heading(), is_lines))

    def finished(self) -> list[Block]:
        self._keep_bare()
        return self.blocks

    def _keep_bare(self) -> None:
        if self._bare is not None:
            _, start, end = self._bare
            self._path.pop()
            self.add_block(start, end)

    def _heading(self) -> str | None:
        """A page's title is often its first heading too, and stands here once."""
        return SEPARATOR.join(dict.fromkeys(words for _, words in self._path if words)) or None


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """[start, end) without white space at its ends; empty where there is nothing else."""
    inner = text[start:end]
    start += len(inner) - len(inner.lstrip())
    return start, max(start, start + len(inner.strip()))
