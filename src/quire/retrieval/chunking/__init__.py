"""Where may a document be cut, so that each passage is about one thing and short enough for a model?

outline    the blocks of a document and the headings above them, out of plain text, Markdown or HTML
pieces     blocks that are too long: sentences, lines, words
packing    pieces put together again, as many as fit, with some overlap
chunker    all of it: a document to `Chunk`s
"""

from quire.retrieval.chunking.chunker import Chunker
from quire.retrieval.chunking.tokens import Tokens, WordTokens

__all__ = ["Chunker", "Tokens", "WordTokens"]
