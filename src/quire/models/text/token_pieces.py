"""What each token stands for, read once from a tokenizer's decoder, so that decoding token by token is a table look-up.

Knows the decoders of the `tokenizers` library by their JSON form. One it does not know gets a WindowDecoder.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from tokenizers import Tokenizer as Backend

from quire.models.text.incremental_decoder import (
    ByteLevelDecoder,
    IncrementalDecoder,
    SentencePieceDecoder,
    WindowDecoder,
)

_Pieces = list[str | int | None]
_BYTE_FALLBACK = ["Replace", "ByteFallback", "Fuse"]


def decoder_maker(backend: Backend, vocab_size: int, *, skip_special_tokens: bool) -> Callable[[], IncrementalDecoder]:
    """Makes fresh decoders; the tables are built now and shared by all of them."""
    steps = _decoder_steps(backend)
    kinds = [step["type"] for step in steps]
    skipped = _special_ids(backend) if skip_special_tokens else frozenset()
    tokens = [None if i in skipped else backend.id_to_token(i) for i in range(vocab_size)]
    if kinds == ["ByteLevel"]:
        return partial(ByteLevelDecoder, [_byte_level_piece(token) for token in tokens])
    if kinds == ["Metaspace"]:
        return _metaspace(steps[0], tokens)
    if kinds in (_BYTE_FALLBACK, [*_BYTE_FALLBACK, "Strip"]) and _is_plain(steps):
        return _byte_fallback(steps, tokens)
    return lambda: WindowDecoder(lambda ids: backend.decode(list(ids), skip_special_tokens=skip_special_tokens))


def token_bytes(backend: Backend, vocab_size: int) -> list[bytes] | None:
    """For byte-level vocabularies the bytes of every id; None for others."""
    if [step["type"] for step in _decoder_steps(backend)] != ["ByteLevel"]:
        return None
    pieces = (_byte_level_piece(backend.id_to_token(i)) for i in range(vocab_size))
    return [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]


def _special_ids(backend: Backend) -> frozenset[int]:
    return frozenset(i for i, token in backend.get_added_tokens_decoder().items() if token.special)


def _decoder_steps(backend: Backend) -> list[dict[str, Any]]:
    if backend.decoder is None:
        return []
    form = json.loads(backend.decoder.__getstate__())
    steps: list[dict[str, Any]] = form["decoders"] if form["type"] == "Sequence" else [form]
    return steps


def _byte_of_character() -> dict[str, int]:
    """The byte-level alphabet: printable Latin-1 stands for itself, the other bytes for U+0100 and up, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in set(printable)]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


_BYTE_OF = _byte_of_character()


def _byte_level_piece(token: str | None) -> str | bytes:
    """Text where the token is whole characters, else its bytes. A token outside the byte alphabet is its own text."""
    if token is None:
        return ""
    try:
        data = bytes([_BYTE_OF[character] for character in token])
    except KeyError:
        return token
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _metaspace(step: dict[str, Any], tokens: list[str | None]) -> Callable[[], IncrementalDecoder]:
    mark = step["replacement"]
    pieces: _Pieces = [token and token.replace(mark, " ") for token in tokens]
    strips = step["prepend_scheme"] != "never"
    first: _Pieces = [token and token.replace(mark, "") for token in tokens] if strips else pieces
    return partial(SentencePieceDecoder, pieces, first, 0)


def _is_plain(steps: list[dict[str, Any]]) -> bool:
    """Whether Replace replaces a fixed string and Strip, where there is one, takes spaces from the front only."""
    strip = steps[3] if len(steps) == 4 else {"content": " ", "stop": 0}
    return "String" in steps[0]["pattern"] and strip["content"] == " " and strip["stop"] == 0


def _byte_fallback(steps: list[dict[str, Any]], tokens: list[str | None]) -> Callable[[], IncrementalDecoder]:
    old, new = steps[0]["pattern"]["String"], steps[0]["content"]
    pieces: _Pieces = [None if token is None else _byte_or_text(token.replace(old, new)) for token in tokens]
    return partial(SentencePieceDecoder, pieces, pieces, steps[3]["start"] if len(steps) == 4 else 0)


def _byte_or_text(token: str) -> str | int:
    """A token `<0xE4>` is the byte 0xE4."""
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        try:
            return int(token[3:5], 16)
        except ValueError:
            return token
    return token
