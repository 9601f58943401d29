"""Keeping the special tokens that a template writes apart from text of users that looks the same.

    mark      puts a sentinel into every string of a user where a special token begins, or could begin if the template
              joined something to its end
    split     cuts rendered text at the special tokens that are left, which are the template's own
    unmark    takes the sentinels out of what lies between

The sentinel is a private-use character that no string of the request holds, so what is encoded is exactly what the
user wrote. A role is marked as any other string, but a template that builds tokens from roles ('<|' + role + '|>') does
so by design: whoever takes requests decides which roles there are.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenizers import AddedToken

from quire.errors import InvalidRequestError

_PRIVATE_USE = range(0xE000, 0xF900)
_PRIVATE = re.compile(r"[\ue000-\uf8ff]|\\u[ef][0-9a-f]{3}")


class SpecialTokens:
    """The special tokens of one vocabulary: content -> id, and how each takes the white space beside it."""

    def __init__(self, added_tokens: Mapping[int, AddedToken]) -> None:
        special = {token.content: (token_id, token) for token_id, token in added_tokens.items() if token.special}
        self.ids = {content: token_id for content, (token_id, _) in special.items() if content}
        longest_first = sorted(self.ids, key=len, reverse=True)
        self._contents = tuple(longest_first)
        self._max_len = len(longest_first[0]) if longest_first else 0
        alternatives = "|".join(_pattern(special[content][1]) for content in longest_first)
        self._boundary = re.compile(alternatives or r"(?!)")
        starts = "".join(sorted({re.escape(content[0]) for content in longest_first}))
        self._starts = re.compile(f"[{starts}]" if starts else r"(?!)")

    def split(self, text: str) -> Iterator[str | int]:
        """The pieces of `text` in order: an int for a special token, a str for what lies between, never empty."""
        end = 0
        for match in self._boundary.finditer(text):
            if match.start() > end:
                yield text[end : match.start()]
            yield self.ids[match[match.lastindex or 0]]
            end = match.end()
        if end < len(text):
            yield text[end:]

    def mark(self, value: Any, sentinel: str) -> Any:
        """`value` with all its strings marked, in lists and mappings too, keys included."""
        if isinstance(value, str):
            return self._starts.sub(lambda match: self._mark_start(value, match, sentinel), value)
        if isinstance(value, Mapping):
            return {self.mark(key, sentinel): self.mark(item, sentinel) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.mark(item, sentinel) for item in value]
        return value

    def cut(self, text: str) -> list[str]:
        """`text` in parts none of which holds a special token."""
        sentinel = free_sentinel([text])
        return [part for part in self.mark(text, sentinel).split(sentinel) if part]

    def _mark_start(self, text: str, match: re.Match[str], sentinel: str) -> str:
        start = match.start()
        if text.startswith(self._contents, start) or self._may_begin(text, start):
            return match.group() + sentinel
        return match.group()

    def _may_begin(self, text: str, start: int) -> bool:
        """Whether the rest of the text, which a template may trim, is the beginning of a special token."""
        if text[start + self._max_len : start + self._max_len + 1].strip():
            return False
        rest = text[start:].rstrip()
        return any(content.startswith(rest) for content in self._contents)


def free_sentinel(values: Iterable[Any]) -> str:
    """A private-use character that occurs in none of the strings of `values`, neither itself nor escaped for JSON."""
    used = {found for value in values for text in _strings(value) for found in _PRIVATE.findall(text)}
    for code in _PRIVATE_USE:
        if chr(code) not in used and _escaped(chr(code)) not in used:
            return chr(code)
    raise InvalidRequestError("The messages use all private-use characters from U+E000 to U+F8FF; leave one out.")


def unmark(text: str, sentinel: str) -> str:
    # A template may have escaped it on the way (`tojson(ensure_ascii=true)`).
    return text.replace(sentinel, "").replace(_escaped(sentinel), "")


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}"


def _pattern(token: AddedToken) -> str:
    """A special token takes the white space on a side where it says so, and only whole words where it says that."""
    # From where a run of it begins: looked for at each of its characters, it would take the square of their number.
    before, after = (r"(?:(?<!\s)\s++)?" if token.lstrip else ""), (r"\s*" if token.rstrip else "")
    body = re.escape(token.content)
    return before + (rf"(?<!\w)({body})(?!\w)" if token.single_word else f"({body})") + after


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)
