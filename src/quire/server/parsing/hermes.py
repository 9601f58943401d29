"""Calls as Hermes and Qwen write them, anywhere in the text:

    Let me see.
    <tool_call>
    {"name": "f", "arguments": {"a": 1}}
    </tool_call>

White space beside a call belongs to it. What stands behind the mark and is no such object stays text.
"""

from collections.abc import Iterator

from quire.server.parsing.call import Call
from quire.server.parsing.parts import Part, Text
from quire.server.parsing.reader import StepParser
from quire.server.parsing.text_end import undecided

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class HermesCalls(StepParser):
    def __init__(self) -> None:
        super().__init__(self._in_text)
        self._num_calls = 0
        self._call = Call(0, "", None, needs_arguments=False)

    def _in_text(self, is_last: bool) -> Iterator[Part]:
        start = self._rest.find(OPEN)
        if start < 0:
            decided = len(self._rest) - undecided(self._rest, OPEN)
            yield from self._told(len(self._rest) if is_last else len(self._rest[:decided].rstrip()))
            return
        behind = self._rest[start + len(OPEN) :]
        inside = behind.lstrip()
        if inside.startswith("{"):
            yield from self._told(len(self._rest[:start].rstrip()))
            self._call = Call(self._num_calls, self._rest[: -len(inside)], None, needs_arguments=False)
            self._rest = inside
            self._step = self._in_call
        elif inside or is_last:
            yield from self._told(start + len(OPEN))
        else:
            yield from self._told(len(self._rest[:start].rstrip()))

    def _in_call(self, is_last: bool) -> Iterator[Part]:
        call = self._call
        parts, num_taken = call.push(self._rest)
        self._rest = self._rest[num_taken:]
        yield from parts
        if call.is_done:
            self._num_calls += 1
            self._step = self._at_close
        elif call.is_broken or is_last:
            self._step = self._in_text
            if call.is_begun:
                self._num_calls += 1
                yield call.cut_off()
            else:
                end = call.source.index(OPEN) + len(OPEN)
                yield Text(call.source[:end])
                self._rest = call.source[end:] + self._rest

    def _at_close(self, is_last: bool) -> Iterator[Part]:
        """A mark that is missing is not missed."""
        self._rest = self._rest.lstrip()
        if is_last or self._rest == CLOSE or not CLOSE.startswith(self._rest):
            self._rest = self._rest.removeprefix(CLOSE)
            self._step = self._behind_call
        yield from ()

    def _behind_call(self, is_last: bool) -> Iterator[Part]:
        self._rest = self._rest.lstrip()
        if self._rest or is_last:
            self._step = self._in_text
        yield from ()

    def _told(self, length: int) -> Iterator[Part]:
        if length:
            yield Text(self._rest[:length])
            self._rest = self._rest[length:]
