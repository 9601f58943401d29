"""One call of a tool, written as a JSON object with `name` and `arguments` (or `parameters`).

    {"name": "f", "arguments": {"a": 1}}
     [ head                   ][ told as it comes ]

Where the name stands directly before the arguments, these are told as they come, as they were written. In any other
order the call is told when the object is whole.
"""

import json
import re
from collections.abc import Iterator, Set
from typing import Any

from quire.server.parsing.json_object import JsonObject
from quire.server.parsing.parts import CallArguments, CallBegin, CallEnd, Part

_HEAD = re.compile(r'\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*\{')
_ARGUMENTS = ("arguments", "parameters")


class Call:
    def __init__(self, index: int, before: str, names: Set[str] | None, *, needs_arguments: bool) -> None:
        """`before` is what stood before the brace and belongs to the call. With `names`, no other name is a call."""
        self.is_begun = False
        self._index = index
        self._names = names
        self._needs_arguments = needs_arguments
        self._object = JsonObject()
        self._pieces = [before]
        self._num_before = len(before)
        self._is_unreadable = False
        self._is_telling = False
        self._has_been_nested = False

    @property
    def source(self) -> str:
        """All that was taken, behind what stood before."""
        return "".join(self._pieces)

    @property
    def is_done(self) -> bool:
        return self._object.is_done and not self._is_unreadable

    @property
    def is_broken(self) -> bool:
        return self._object.is_broken or self._is_unreadable

    def push(self, text: str) -> tuple[list[Part], int]:
        """The parts, and how many characters were taken: all of them unless the call is done or broken. The character
        that breaks it is not taken."""
        parts: list[Part] = []
        start = 0
        """Of what is to be told."""
        for at, char in enumerate(text):
            depth = self._object.depth
            self._object.feed(char)
            if self._object.is_broken:
                text = text[:at]
                break
            if depth == 1 and self._object.depth == 2 and not self._has_been_nested:
                self._has_been_nested = True
                parts += self._begun(text[: at + 1])
                start = at
            elif depth == 2 and self._object.depth == 1 and self._is_telling:
                self._is_telling = False
                parts.append(CallArguments(self._index, text[start : at + 1]))
            if self._object.is_done:
                text = text[: at + 1]
                break
        if self._is_telling and text[start:]:
            parts.append(CallArguments(self._index, text[start:]))
        self._pieces.append(text)
        if self._object.is_done:
            parts += self._ended()
        return parts, len(text)

    def cut_off(self) -> Part:
        """Where a call that has begun is broken, or nothing follows."""
        return CallEnd(self._index, False, self.source)

    def _begun(self, newest: str) -> Iterator[Part]:
        head = _HEAD.fullmatch(self.source + newest, self._num_before)
        name = _name(json.loads(head[1]), self._names) if head else None
        if name is not None:
            self.is_begun = self._is_telling = True
            yield CallBegin(self._index, name)

    def _ended(self) -> Iterator[Part]:
        if not self.is_begun:
            try:
                name, arguments = self._read(json.loads(self.source[self._num_before :]))
            except ValueError:  # a number that Python does not take
                name = arguments = None
            if name is None or arguments is None:
                self._is_unreadable = True
                return
            yield CallBegin(self._index, name)
            yield CallArguments(self._index, arguments)
        yield CallEnd(self._index, True, self.source)

    def _read(self, call: dict[str, Any]) -> tuple[str | None, str | None]:
        given = next((call[key] for key in _ARGUMENTS if call.get(key) is not None), None)
        if given is None and not self._needs_arguments:
            given = {}
        return _name(call.get("name"), self._names), _arguments(given)


def _name(given: Any, names: Set[str] | None) -> str | None:
    if not isinstance(given, str) or not given or (names is not None and given not in names):
        return None
    return given if _is_unicode(given) else None


def _arguments(given: Any) -> str | None:
    """The JSON of an object that stood there as such, or written into a string."""
    if isinstance(given, dict):
        return json.dumps(given, allow_nan=False)
    if not isinstance(given, str) or not _is_unicode(given):
        return None
    inner = JsonObject()
    for char in given.strip():
        if inner.is_done or inner.is_broken:
            return None
        inner.feed(char)
    return given.strip() if inner.is_done and not inner.is_broken else None


def _is_unicode(text: str) -> bool:
    """Whether it holds no half of a surrogate pair, which JSON can escape and UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
