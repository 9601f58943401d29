"""How single tokens are written in log-probabilities: as text where they are text, else by their bytes, as the OpenAI
API does. Knows nothing of requests.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from quire.models.tokenizer import Tokenizer


class TokenTexts:
    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self._texts: dict[int, str] = {}

    def text(self, token_id: int, *, as_id: bool = False) -> str:
        """`the`; `bytes:\\xe2\\x80` for a part of a character; `token_id:5` where that was asked for, or is all."""
        if as_id or self._tokenizer is None:
            return f"token_id:{token_id}"
        found = self._texts.get(token_id)
        if found is None:
            found = self._texts[token_id] = self._made(self._tokenizer, token_id)
        return found

    def utf8(self, token_id: int) -> list[int]:
        if self._tokenizer is None:
            return []
        if self._bytes is not None and token_id < len(self._bytes) and self._bytes[token_id]:
            return [*self._bytes[token_id]]
        return [*self._tokenizer.decode([token_id], skip_special_tokens=False).encode()]

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        if self._tokenizer is None:
            return ""
        return self._tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def offsets(self, *, skip_special_tokens: bool = True) -> "TextOffsets":
        return TextOffsets(self._tokenizer, skip_special_tokens)

    def _made(self, tokenizer: Tokenizer, token_id: int) -> str:
        raw = bytes(self.utf8(token_id))
        text = tokenizer.decode([token_id], skip_special_tokens=False)
        return text if "\ufffd" not in text else "bytes:" + "".join(f"\\x{byte:02x}" for byte in raw)

    @cached_property
    def _bytes(self) -> list[bytes] | None:
        return self._tokenizer.token_bytes() if self._tokenizer is not None else None


class TextOffsets:
    """Where in a text each of its tokens begins, as they come."""

    def __init__(self, tokenizer: Tokenizer | None, skip_special_tokens: bool) -> None:
        self._decoder = None if tokenizer is None else tokenizer.new_decoder(skip_special_tokens=skip_special_tokens)
        self._length = 0

    def place(self, token_ids: Iterable[int]) -> Iterator[int]:
        for token_id in token_ids:
            yield self._length
            if self._decoder is not None:
                self._length += len(self._decoder.push(token_id))
