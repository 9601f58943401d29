"""Marks in an answer, `[2]` or `[1, 3]`, led back to the passages they name.

Works on text as it streams: what may become a mark is held back until it is one or is not. Marks that name no passage
are dropped from the text, with the space before them; a bracket directly behind a word (`x[0]`) is no mark unless it
names a passage.

Invariant: the pieces that come out, joined, do not depend on how the text was cut into pieces that went in.
Threads: one at a time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_SPACE = r"(?<!\s)\s*+"
"""From where it begins: looked for at each of its characters, a long run of it would take the square of its length."""
MARK = re.compile(rf"({_SPACE})\[(\d{{1,3}}(?:\s?,\s?\d{{1,3}})*)\]")
OPEN = re.compile(rf"{_SPACE}(?:\[(?:\d{{1,3}}(?:\s?,\s?\d{{1,3}})*\s?(?:,\s?)?)?)?$")
"""A mark that has begun, or the space before one, at the end of the text."""


class Passage(Protocol):
    """What was found: a chunk of a document, with the ids that lead back to it; a `Hit` of a collection is one."""

    @property
    def document_id(self) -> str: ...
    @property
    def chunk_id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def score(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Citation:
    """`answer[start:end]` is the mark that names `passage`; a mark of several names has a citation for each."""

    number: int
    start: int
    end: int
    passage: Passage


class CitationReader:
    def __init__(self, passages: Sequence[Passage]) -> None:
        self.citations: list[Citation] = []
        """Those of the text that came out so far, in its order."""
        self._passages = passages
        self._held = ""
        self._length = 0
        self._last = ""

    def feed(self, text: str) -> str:
        """What of the answer is certain now."""
        self._held += text
        begun = OPEN.search(self._held)
        cut = begun.start() if begun else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return self._read(ready)

    def finish(self) -> str:
        """The rest: what was held back did not become a mark."""
        ready, self._held = self._held, ""
        return self._read(ready)

    def _read(self, text: str) -> str:
        before, position = self._length, 0
        out: list[str] = []
        for mark in MARK.finditer(text):
            self._put(out, text[position : mark.start()])
            self._put_mark(out, mark)
            position = mark.end()
        self._put(out, text[position:])
        joined = "".join(out)
        assert self._length == before + len(joined)
        return joined

    def _put(self, out: list[str], text: str) -> None:
        out.append(text)
        self._length += len(text)
        self._last = text[-1:] or self._last

    def _put_mark(self, out: list[str], mark: re.Match[str]) -> None:
        space, numbers = mark[1], [int(number) for number in mark[2].split(",")]
        named = list(dict.fromkeys(number for number in numbers if 1 <= number <= len(self._passages)))
        if not named:
            if not space and re.match(r"\w", self._last):
                self._put(out, mark[0])
            return
        self._put(out, space)
        start = self._length
        self._put(out, f"[{', '.join(map(str, named))}]")
        self.citations += [Citation(n, start, self._length, self._passages[n - 1]) for n in named]
