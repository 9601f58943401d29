"""Token ids to text, one id at a time.

Invariants, for any ids:
  1. the pieces from `push`, joined, and `flush` are the tokenizer's `decode` of all ids;
  2. a piece never ends in half a character.

Three kinds, by what a tokenizer's decoder lets one know in advance:

    ByteLevelDecoder       every token is some bytes of UTF-8
    SentencePieceDecoder   every token is text, or one byte of a run that is valid as a whole or not at all
    WindowDecoder          anything else: decodes the last few ids anew and gives what was added

The tables behind the first two are made once per tokenizer and shared; a decoder itself is a few words of state.
"""

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol

_REPLACEMENT = "\ufffd"


class IncrementalDecoder(Protocol):
    def push(self, token_id: int) -> str:
        """The text that this token completes; empty for skipped tokens, unknown ids and parts of a character."""

    def flush(self) -> str:
        """What is left after the last token; the decoder is as new afterwards."""


class ByteLevelDecoder:
    """`pieces[token_id]` is text where the token holds whole characters, and bytes where it does not."""

    __slots__ = ("_pending", "_pieces")

    def __init__(self, pieces: Sequence[str | bytes]) -> None:
        self._pieces = pieces
        self._pending = b""

    def push(self, token_id: int) -> str:
        try:
            piece = self._pieces[token_id]
        except IndexError:
            return ""
        if isinstance(piece, str) and not self._pending:
            return piece
        return self._push_bytes(piece if isinstance(piece, bytes) else piece.encode())

    def flush(self) -> str:
        text = self._pending.decode("utf-8", "replace")
        self._pending = b""
        return text

    def _push_bytes(self, piece: bytes) -> str:
        data = self._pending + piece
        text, num_read = codecs.utf_8_decode(data, "replace", False)
        self._pending = data[num_read:]
        return text


class SentencePieceDecoder:
    """`pieces[token_id]` is text, or an int for a byte token. `first_pieces` has the text for the first token where it
    differs, `strip_spaces` spaces are taken from the front of the whole."""

    __slots__ = ("_first_pieces", "_is_first", "_pieces", "_run", "_spaces_left", "_strip_spaces")

    def __init__(
        self, pieces: Sequence[str | int | None], first_pieces: Sequence[str | int | None], strip_spaces: int
    ) -> None:
        self._pieces = pieces
        self._first_pieces = first_pieces
        self._strip_spaces = strip_spaces
        self._spaces_left = strip_spaces
        self._is_first = True
        self._run = bytearray()

    def push(self, token_id: int) -> str:
        try:
            piece = (self._first_pieces if self._is_first else self._pieces)[token_id]
        except IndexError:
            return ""
        if piece is None:
            return ""
        self._is_first = False
        if isinstance(piece, int):
            self._run.append(piece)
            return ""
        if self._run:
            piece = self._end_run() + piece
        return self._strip(piece) if self._spaces_left else piece

    def flush(self) -> str:
        text = self._strip(self._end_run())
        self._is_first = True
        self._spaces_left = self._strip_spaces
        return text

    def _end_run(self) -> str:
        try:
            text = self._run.decode()
        except UnicodeDecodeError:
            text = _REPLACEMENT * len(self._run)
        self._run.clear()
        return text

    def _strip(self, text: str) -> str:
        while self._spaces_left and text:
            if text[0] != " ":
                self._spaces_left = 0
                break
            text = text[1:]
            self._spaces_left -= 1
        return text


class WindowDecoder:
    """Relies on this: what a token adds depends on the last token that added text, and on whether there is one."""

    __slots__ = ("_context", "_decode", "_ids")

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._context: list[int] = []
        """Ids whose text has been given."""
        self._ids: list[int] = []
        """Ids whose text may still change."""

    def push(self, token_id: int) -> str:
        self._ids.append(token_id)
        text = self._added()
        if text.endswith(_REPLACEMENT) or not text:
            return ""
        self._context, self._ids = self._ids, []
        return text

    def flush(self) -> str:
        text = self._added() if self._ids else ""
        self._context, self._ids = [], []
        return text

    def _added(self) -> str:
        return self._decode(self._context + self._ids)[len(self._decode(self._context)) :]
