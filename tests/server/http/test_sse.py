"""Streams with readers of every kind: quick, slow, stuck, and gone."""

import asyncio
import selectors
from collections.abc import AsyncGenerator, Callable
from contextlib import contextmanager
from typing import Any

import pytest

from quire.scheduling import Admitted
from quire.server.errors import ApiError
from quire.server.http.sse import EventStream, frames

Message = dict[str, Any]


class Wire:
    """What an ASGI server is to a response. It stops taking anything after `num_taken` messages."""

    def __init__(self, num_taken: int = 1000, leaves_after: int = 1000) -> None:
        self.sent: list[Message] = []
        self._num_taken = num_taken
        self._leaves_after = leaves_after
        self._is_gone = asyncio.Event()

    async def send(self, message: Message) -> None:
        if len(self.sent) >= self._num_taken:
            await asyncio.Event().wait()
        self.sent.append(message)
        if len(self.sent) >= self._leaves_after:
            self._is_gone.set()

    async def receive(self) -> Message:
        await self._is_gone.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


class Source:
    """Where the writes of a stream come from. Knows whether it was closed and its ticket given back."""

    def __init__(self, *writes: bytes, fails_with: Exception | None = None) -> None:
        self._writes = writes
        self._fails_with = fails_with
        self.is_closed = False
        self.is_admitted = False

    @contextmanager
    def admission(self) -> Any:
        self.is_admitted = True
        yield Admitted(1, 1, 1)
        self.is_admitted = False

    async def stream(self, _: Admitted) -> AsyncGenerator[bytes, None]:
        try:
            for write in self._writes:
                yield write
            if self._fails_with is not None:
                raise self._fails_with
            await asyncio.sleep(0)
        finally:
            self.is_closed = True


class ClockOfNumbers(asyncio.SelectorEventLoop):
    """A loop whose time is a number: it goes on to the next timer as soon as there is nothing else to do."""

    def __init__(self) -> None:
        super().__init__(TimeSkips(self))
        self.now_s = 0.0

    def time(self) -> float:
        return self.now_s


class TimeSkips(selectors.DefaultSelector):
    def __init__(self, loop: ClockOfNumbers) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "all wait, and nothing will ever come"
        self._loop.now_s += timeout
        return super().select(0)


def streamed(source: Source, wire: Callable[[], Wire]) -> Wire:
    async def run() -> Wire:
        found = wire()
        response = EventStream(source.admission(), source.stream, write_timeout_s=0.05, timeout_s=None)
        await response({"type": "http"}, found.receive, found.send)
        return found

    with asyncio.Runner(loop_factory=ClockOfNumbers) as runner:
        wire_after = runner.run(run())
    assert (source.is_closed, source.is_admitted) == (True, False)
    return wire_after


def test_all_is_written_and_ended() -> None:
    wire = streamed(Source(b"one", b"", b"two"), Wire)
    assert [message.get("body") for message in wire.sent] == [None, b"one", b"two", b""]
    assert [message.get("more_body") for message in wire.sent] == [None, True, True, False]


def test_a_reader_who_takes_nothing_loses_the_stream() -> None:
    assert streamed(Source(b"one", b"two", b"three"), lambda: Wire(num_taken=2)).body == b"one"


def test_a_reader_who_takes_his_time_loses_nothing() -> None:
    """The time counts for each write by itself, and not while nothing is there to be written."""

    class SlowWire(Wire):
        async def send(self, message: Message) -> None:
            await asyncio.sleep(0.02)
            await super().send(message)

    async def with_pauses(self: Source, _: Admitted) -> AsyncGenerator[bytes, None]:
        for write in (b"a", b"b", b"c", b"d", b"e"):
            yield write
            await asyncio.sleep(0.06)
        self.is_closed = True

    source = Source()
    source.stream = with_pauses.__get__(source)  # type: ignore[method-assign]
    assert streamed(source, SlowWire).body == b"abcde"


def test_a_reader_who_leaves_ends_the_stream() -> None:
    async def endless(self: Source, _: Admitted) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
                await asyncio.sleep(0)
        finally:
            self.is_closed = True

    source = Source()
    source.stream = endless.__get__(source)  # type: ignore[method-assign]
    assert len(streamed(source, lambda: Wire(leaves_after=5)).body) < 10


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ApiError(503, "too much"), b"too much"),
        (KeyError("secret"), b"its log says why"),
    ],
)
def test_an_error_in_the_middle_is_the_last_event(error: Exception, words: bytes) -> None:
    wire = streamed(Source(b"one", fails_with=error), Wire)
    assert wire.body.startswith(b"one" + b'data: {"error":')
    assert words in wire.body
    assert b"secret" not in wire.body
    assert wire.sent[-1]["more_body"] is False


def test_characters_that_end_lines_elsewhere_end_no_event() -> None:
    (frame, rest) = frames([{"text": "a\n\nb\r\u2028\x85"}]).split(b"\n\n")
    assert (frame.startswith(b'data: {"text":"a\\n\\nb\\r'), rest) == (True, b"")
