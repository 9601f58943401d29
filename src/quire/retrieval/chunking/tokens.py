"""How long a text is for a model: where its tokens begin.

`WordTokens` needs no model and comes close to what those of the BERT family count in most languages, so that documents
can be cut, and found to be unchanged, before a model is loaded. `embedder.tokens` counts exactly.
"""

import re
from collections.abc import Sequence
from typing import Protocol

_CJK = r"\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[^\W{_CJK}]{{1,6}}|\S")


class Tokens(Protocol):
    @property
    def fingerprint(self) -> str:
        """Differs where the same text would have others."""
        ...

    def starts(self, text: str) -> Sequence[int]:
        """Where in `text` each of its tokens begins, in order."""
        ...


class WordTokens:
    """Runs of up to six letters or digits, and every other character that is no space."""

    fingerprint = "words of 6"

    def starts(self, text: str) -> Sequence[int]:
        return [token.start() for token in _TOKEN.finditer(text)]
