"""Reads an answer that stands on passages: its marks are told as citations, those of no passage are left out.

Around another reader, so that thoughts and calls are none of its business.
"""

from collections.abc import Sequence

from quire.rag.citations import CitationReader, Passage
from quire.server.parsing.parts import Cited, Part, Text
from quire.server.parsing.reader import Parser


class CitingReader:
    def __init__(self, reader: Parser, passages: Sequence[Passage]) -> None:
        self._reader = reader
        self._marks = CitationReader(passages)
        self._num_told = 0

    def push(self, text: str) -> list[Part]:
        return self._cited(self._reader.push(text))

    def finish(self) -> list[Part]:
        return [*self._cited(self._reader.finish()), *self._told(self._marks.finish())]

    def _cited(self, parts: list[Part]) -> list[Part]:
        found: list[Part] = []
        for part in parts:
            found += self._told(self._marks.feed(part.text)) if isinstance(part, Text) else [part]
        return found

    def _told(self, text: str) -> list[Part]:
        new = self._marks.citations[self._num_told :]
        self._num_told += len(new)
        return [*([Text(text)] if text else []), *map(Cited, new)]
