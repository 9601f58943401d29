"""Calls as Llama 3 writes them, at the beginning of the text and nowhere else:

    {"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {}}

The mark `<|python_tag|>` may stand before the first. Since any answer may be JSON, only objects that name one of the
tools and have parameters are calls; what is no call, and all that follows it, is text.
"""

import re
from collections.abc import Iterator, Set

from quire.server.parsing.call import Call
from quire.server.parsing.parts import Part, Text
from quire.server.parsing.reader import StepParser

PYTHON_TAG = "<|python_tag|>"
_BEFORE_FIRST = re.compile(rf"\s*({re.escape(PYTHON_TAG)}\s*)?")
_BEFORE_NEXT = re.compile(r"\s*(;\s*)?")


class LlamaCalls(StepParser):
    def __init__(self, names: Set[str]) -> None:
        super().__init__(self._before_call)
        self._names = names
        self._num_calls = 0
        self._call: Call | None = None

    def _before_call(self, is_last: bool) -> Iterator[Part]:
        pattern = _BEFORE_NEXT if self._num_calls else _BEFORE_FIRST
        match = pattern.match(self._rest)
        before, rest = self._rest[: match.end()] if match else "", self._rest[match.end() if match else 0 :]
        if rest.startswith("{"):
            self._call = Call(self._num_calls, before, self._names, needs_arguments=True)
            self._rest = rest
            self._step = self._in_call
        elif is_last or (rest and not (self._num_calls == 0 and PYTHON_TAG.startswith(rest))):
            if self._num_calls:
                self._rest = self._rest.lstrip()
            self._step = self._in_text
        yield from ()

    def _in_call(self, is_last: bool) -> Iterator[Part]:
        call = self._call
        assert call is not None
        parts, num_taken = call.push(self._rest)
        self._rest = self._rest[num_taken:]
        yield from parts
        if call.is_done:
            self._num_calls += 1
            self._step = self._before_call
        elif call.is_broken or is_last:
            self._step = self._in_text
            if call.is_begun:
                yield call.cut_off()
            else:
                self._rest = call.source + self._rest

    def _in_text(self, is_last: bool) -> Iterator[Part]:  # noqa: ARG002 (all of it is certain)
        text, self._rest = self._rest, ""
        if text:
            yield Text(text)
