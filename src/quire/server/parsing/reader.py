"""Reads one answer: first the thoughts, then text and calls."""

from collections.abc import Callable, Iterator
from typing import Protocol

from quire.server.parsing.parts import CallArguments, CallBegin, CallEnd, Part, Text


class Parser(Protocol):
    def push(self, text: str) -> list[Part]: ...

    def finish(self) -> list[Part]: ...


Step = Callable[[bool], Iterator[Part]]


class StepParser:
    """Takes what is certain of the text, step by step; which step follows, each of them says."""

    def __init__(self, first: Step) -> None:
        self._rest = ""
        """What is not decided yet."""
        self._step = first
        """Is told whether nothing follows."""

    def push(self, text: str) -> list[Part]:
        self._rest += text
        return self._parts(is_last=False)

    def finish(self) -> list[Part]:
        return self._parts(is_last=True)

    def _parts(self, *, is_last: bool) -> list[Part]:
        parts: list[Part] = []
        seen: tuple[str, Step] | None = None
        while seen != (seen := (self._rest, self._step)):
            parts += self._step(is_last)
        return parts


class Reader:
    def __init__(self, thoughts: Parser | None, calls: Parser | None, max_calls: int | None = None) -> None:
        """Calls beyond `max_calls` are left out."""
        self._thoughts = thoughts
        self._calls = calls
        self._max_calls = max_calls

    def push(self, text: str) -> list[Part]:
        parts: list[Part] = [Text(text)] if self._thoughts is None else self._thoughts.push(text)
        return self._with_calls(parts) if self._calls is not None else parts

    def finish(self) -> list[Part]:
        parts = [] if self._thoughts is None else self._thoughts.finish()
        if self._calls is None:
            return parts
        return self._with_calls(parts) + self._wanted(self._calls.finish())

    def _with_calls(self, parts: list[Part]) -> list[Part]:
        assert self._calls is not None
        found: list[Part] = []
        for part in parts:
            found += self._wanted(self._calls.push(part.text)) if isinstance(part, Text) else [part]
        return found

    def _wanted(self, parts: list[Part]) -> list[Part]:
        if self._max_calls is None:
            return parts
        of_calls = (CallBegin, CallArguments, CallEnd)
        return [part for part in parts if not isinstance(part, of_calls) or part.index < self._max_calls]


def read_whole(reader: Parser, text: str) -> list[Part]:
    """All parts of a text that is there at once."""
    return [*reader.push(text), *reader.finish()]
