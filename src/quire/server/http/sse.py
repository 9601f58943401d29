"""A stream of server-sent events, and what becomes of a request when its reader goes away.

What is ready together goes out in one write. A reader who is gone, or takes nothing for `write_timeout_s`, ends the
request; closing the batches aborts it in the engine.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from quire.scheduling.admission import Admitted
from quire.server.errors import ApiError, as_api_error
from quire.server.render.writer import Event
from quire.server.state import state_of

log = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_encode = msgspec.json.encode

T = TypeVar("T")


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


def frames(events: Iterable[Event]) -> bytes:
    """Events as they are written."""
    return b"".join([b"data: " + _encode(event) + b"\n\n" for event in events])


def named_frames(events: Iterable[Event]) -> bytes:
    """The same of events that are called by their type."""
    return b"".join([b"event: " + event["type"].encode() + b"\ndata: " + _encode(event) + b"\n\n" for event in events])


@dataclass(frozen=True, slots=True)
class EventFormat:
    """How a protocol writes a stream."""

    frames: Callable[[Iterable[Event]], bytes]
    end: bytes


PLAIN = EventFormat(frames, DONE)
NAMED = EventFormat(named_frames, b"")


async def written(stream: AsyncGenerator[list[Event], None], form: EventFormat = PLAIN) -> AsyncGenerator[bytes, None]:
    """The whole stream, write by write."""
    async with aclosing(stream) as batches:
        async for events in batches:
            yield form.frames(events)
    if form.end:
        yield form.end


async def while_there(receive: Receive, work: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
    """What `work` gives. Cancels it and raises ClientGoneError when the client goes, ApiError 504 when it takes
    longer than `timeout_s`."""
    task, watcher = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        done, _ = await asyncio.wait((task, watcher), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if watcher in done:
            raise ClientGoneError
        raise ApiError(504, f"The request took longer than {timeout_s:g} s.", kind="server_error", code="timeout")
    finally:
        for each in (task, watcher):
            each.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)


async def in_time(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives to a request, under the server's limit of time."""
    return await while_there(request.receive, work, state_of(request).settings.request_timeout_s)


class EventStream(Response):
    """Asks for admission when it begins, so that a refusal still has a status of its own."""

    def __init__(
        self,
        admission: AbstractContextManager[Admitted],
        stream: Callable[[Admitted], AsyncGenerator[bytes, None]],
        *,
        failed: Callable[[ApiError], bytes] = lambda error: frames([error.event()]),
        write_timeout_s: float,
        timeout_s: float | None,
    ) -> None:
        """`failed` words an error that comes when the stream has begun."""
        super().__init__()
        self._admission = admission
        self._stream = stream
        self._failed = failed
        self._write_timeout_s = write_timeout_s
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI)
        with self._admission as ticket:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async with aclosing(self._stream(ticket)) as writes:
                try:
                    await while_there(receive, self._write_all(writes, send), self._timeout_s)
                except ClientGoneError:
                    log.debug("a reader left its stream")
                except TimeoutError:
                    log.warning("a reader took nothing of its stream for %g s", self._write_timeout_s)
                except Exception as error:
                    # The status is sent already: the error is the stream's last event.
                    await self._write(send, self._failed(as_api_error(error)), is_last=True)

    async def _write_all(self, writes: AsyncIterator[bytes], send: Send) -> None:
        async with asyncio.timeout(None) as limit:
            patience = _Patience(limit, self._write_timeout_s)
            try:
                async for data in writes:
                    if data:
                        patience.begin()
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                        patience.end()
            finally:
                patience.close()
        await self._write(send, b"", is_last=True)

    async def _write(self, send: Send, data: bytes, *, is_last: bool = False) -> None:
        async with asyncio.timeout(self._write_timeout_s):
            await send({"type": "http.response.body", "body": data, "more_body": not is_last})


class _Patience:
    """Lets `limit` run out when one write takes longer than `timeout_s`. A timer that is set anew for each write would
    cost more than the write: this one looks now and then at when the write began that is under way."""

    def __init__(self, limit: asyncio.Timeout, timeout_s: float) -> None:
        self._limit = limit
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._began_s: float | None = None
        self._timer = self._loop.call_later(timeout_s, self._look)

    def begin(self) -> None:
        self._began_s = self._loop.time()

    def end(self) -> None:
        self._began_s = None

    def close(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        now_s = self._loop.time()
        ends_s = (now_s if self._began_s is None else self._began_s) + self._timeout_s
        if ends_s <= now_s:
            self._limit.reschedule(now_s)
        else:
            self._timer = self._loop.call_at(ends_s, self._look)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
