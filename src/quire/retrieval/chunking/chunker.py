"""Documents to chunks: passages of at most so many tokens that end where a thought ends.

A chunk never crosses a heading, which is kept beside it. Within a section it takes as many blocks as fit; a block that
does not fit into any chunk is broken between sentences (code and tables between lines), and those between words. Only
then do chunks overlap, by whole sentences.

Invariant: a chunk's id depends on its document's id, its text and its heading alone. A document that is cut again gives
the same ids, and where one section was changed, those of the others stay.
"""

import hashlib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from quire.errors import ConfigError, InvalidRequestError, shown
from quire.retrieval.chunking.html import outline_of_html
from quire.retrieval.chunking.markdown import outline_of_markdown
from quire.retrieval.chunking.outline import Block, Outline, trimmed
from quire.retrieval.chunking.packing import Piece, packed
from quire.retrieval.chunking.pieces import lines, sentences
from quire.retrieval.chunking.plain_text import outline_of_text
from quire.retrieval.chunking.tokens import Tokens, WordTokens
from quire.retrieval.embedding import Chunk

MIN_TOKENS = 16
OUTLINES: dict[str, Callable[[str], Outline]] = {
    "text": outline_of_text,
    "markdown": outline_of_markdown,
    "html": outline_of_html,
}


class Chunker:
    """max_tokens      of a chunk, its heading included: less than the embedding model reads, which is 256 for the
                    default one
    overlap_tokens  at most so many are repeated where a block was broken; 0 for none
    tokens          how they are counted; None: roughly, without a model. `embedder.tokens` counts exactly
    """

    def __init__(self, max_tokens: int = 200, overlap_tokens: int = 32, *, tokens: Tokens | None = None) -> None:
        if max_tokens < MIN_TOKENS:
            raise ConfigError(f"max_tokens is {shown(max_tokens)}; allowed: {MIN_TOKENS} or more.")
        if not 0 <= overlap_tokens <= max_tokens // 2:
            raise ConfigError(
                f"overlap_tokens is {shown(overlap_tokens)}; allowed: 0 to {max_tokens // 2}, half of max_tokens."
            )
        self.max_tokens = max_tokens
        self.overlap_tokens = overlap_tokens
        self.tokens: Tokens = tokens or WordTokens()

    @property
    def fingerprint(self) -> str:
        return f"quire chunker 1, {self.max_tokens} tokens, overlap {self.overlap_tokens}, {self.tokens.fingerprint}"

    def split(self, document_id: str, text: str, kind: str = "text") -> list[Chunk]:
        """In the order of the document, none for one without words. kind: text, markdown or html. Of HTML a chunk has
        what is said, and [start, end) of the source where it stands. Raises InvalidRequestError for another kind."""
        if kind not in OUTLINES:
            raise InvalidRequestError(f"kind is {shown(kind)}; allowed: {', '.join(OUTLINES)}", param="kind")
        outline = OUTLINES[kind](text)
        times = Counter[str]()
        chunks = []
        for heading, start, end in self._passages(outline):
            words = outline.text[start:end]
            chunk_id = _chunk_id(document_id, heading, words, times)
            chunks.append(Chunk(chunk_id, words, outline.place(start), outline.place(end - 1) + 1, heading))
        return chunks

    def _passages(self, outline: Outline) -> Iterator[tuple[str | None, int, int]]:
        """(heading, start, end) of those that have words."""
        for (_, headings), blocks in groupby(outline.blocks, key=lambda block: (block.section, block.heading)):
            heading, room = self._heading_and_room(headings)
            pieces = [piece for block in blocks for piece in self._pieces(outline.text, block, room)]
            for start, end in packed(pieces, room, self.overlap_tokens):
                if any(character.isalnum() for character in outline.text[start:end]):
                    yield heading, start, end

    def _heading_and_room(self, heading: str | None) -> tuple[str | None, int]:
        """The heading, of a very long one its end, and the tokens that it leaves to the text: half of all at least."""
        if heading is None:
            return None, self.max_tokens
        starts, most = self.tokens.starts(heading), self.max_tokens // 2
        if len(starts) > most:
            return heading[starts[-most] :], self.max_tokens - most
        return heading, self.max_tokens - len(starts)

    def _pieces(self, text: str, block: Block, room: int) -> Iterator[Piece]:
        """The block as it is, or broken into what fits into `room`."""
        starts = [block.start + start for start in self.tokens.starts(text[block.start : block.end])]
        if len(starts) <= room:
            yield Piece(block.start, block.end, len(starts))
            return
        for begin, end in (lines if block.is_lines else sentences)(text, block.start, block.end):
            first, last = bisect_left(starts, begin), bisect_left(starts, end)
            for cut, next_cut in _cuts(text, starts, first, last, room):
                span = trimmed(text, max(begin, starts[cut]), starts[next_cut] if next_cut < last else end)
                yield Piece(*span, next_cut - cut)


def _cuts(text: str, starts: Sequence[int], first: int, last: int, room: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of tokens, `room` at most, that begin behind white space where they can."""
    while last - first > room:
        behind_space = (i for i in range(first + room, first + room // 2, -1) if text[starts[i] - 1].isspace())
        cut = next(behind_space, first + room)
        yield first, cut
        first = cut
    if first < last:
        yield first, last


def _chunk_id(document_id: str, heading: str | None, words: str, times: Counter[str]) -> str:
    """A passage that comes again in its document gets a number."""
    says = hashlib.sha256(json.dumps([heading, words]).encode()).hexdigest()[:16]
    times[says] += 1
    return f"{document_id}#{says}" if times[says] == 1 else f"{document_id}#{says}-{times[says]}"
