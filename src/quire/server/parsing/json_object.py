"""Where does a JSON object end, and does it keep JSON's form, character by character?

Takes the grammar of RFC 8259. Knows nothing of what the object means.
"""

import re
from enum import Enum, auto

MAX_DEPTH = 128
_SPACE = " \t\n\r"
_WORD = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORD_CHARS = frozenset("+-.0123456789Eaeflnrstu")
_ESCAPED = frozenset('"\\/bfnrt')
_HEX = frozenset("0123456789abcdefABCDEF")


class _Next(Enum):
    """What may come."""

    VALUE = auto()
    FIRST_ITEM = auto()
    FIRST_KEY = auto()
    KEY = auto()
    COLON = auto()
    COMMA = auto()
    IN_STRING = auto()
    ESCAPED = auto()
    HEX = auto()
    IN_WORD = auto()


class JsonObject:
    """Give it the object from its brace on, until it is done or broken; nothing after that."""

    __slots__ = ("_closers", "_is_key", "_next", "_num_hex", "_word", "is_broken", "is_done")

    def __init__(self) -> None:
        self._closers: list[str] = []
        self._next = _Next.VALUE
        self._is_key = False
        self._num_hex = 0
        self._word = ""
        self.is_done = False
        self.is_broken = False

    @property
    def depth(self) -> int:
        """How many braces and brackets are open."""
        return len(self._closers)

    def feed(self, char: str) -> None:
        match self._next:
            case _Next.IN_STRING:
                self._in_string(char)
            case _Next.ESCAPED:
                self._next = _Next.IN_STRING if char in _ESCAPED else _Next.HEX
                self.is_broken = char not in _ESCAPED and char != "u"
            case _Next.HEX:
                self._num_hex = (self._num_hex + 1) % 4
                self._next = _Next.HEX if self._num_hex else _Next.IN_STRING
                self.is_broken = char not in _HEX
            case _Next.IN_WORD if char in _WORD_CHARS:
                self._word += char
            case _Next.IN_WORD:
                self.is_broken = _WORD.fullmatch(self._word) is None
                self._between(char, _Next.COMMA)
            case _ if char not in _SPACE:
                self._between(char, self._next)

    def _in_string(self, char: str) -> None:
        if char == '"':
            self._next = _Next.COLON if self._is_key else _Next.COMMA
        elif char == "\\":
            self._next = _Next.ESCAPED
        elif char < " ":
            self.is_broken = True

    def _between(self, char: str, expected: _Next) -> None:
        """A character outside of strings and words."""
        self._next = expected
        if char in _SPACE:
            return
        if expected in (_Next.VALUE, _Next.FIRST_ITEM) and (char in '{["' or char in _WORD_CHARS):
            self._begin(char)
        elif expected in (_Next.KEY, _Next.FIRST_KEY) and char == '"':
            self._is_key, self._next = True, _Next.IN_STRING
        elif expected is _Next.COLON and char == ":":
            self._next = _Next.VALUE
        elif expected is _Next.COMMA and char == ",":
            self._next = _Next.KEY if self._closers[-1] == "}" else _Next.VALUE
        elif expected in (_Next.COMMA, _Next.FIRST_KEY, _Next.FIRST_ITEM) and char == self._closers[-1]:
            self._closers.pop()
            self._next = _Next.COMMA
            self.is_done = not self._closers and not self.is_broken
        else:
            self.is_broken = True

    def _begin(self, char: str) -> None:
        if not self._closers and char != "{":
            self.is_broken = True
        elif char == '"':
            self._is_key, self._next = False, _Next.IN_STRING
        elif char in "{[":
            self._closers.append("}" if char == "{" else "]")
            self._next = _Next.FIRST_KEY if char == "{" else _Next.FIRST_ITEM
            self.is_broken = len(self._closers) > MAX_DEPTH
        else:
            self._word, self._next = char, _Next.IN_WORD
