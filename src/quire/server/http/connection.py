"""uvicorn's HTTP with two limits it lacks: how long the headers of a request may be, and how long they may take.

Without the first a header without end fills the memory, without the second connections that send a byte a minute use
up all there are.
"""

from asyncio import BaseTransport, TimerHandle
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
)
_MESSAGE = (
    b'{"error":{"message":"The headers of the request are too long; allowed: %d bytes.",'
    b'"type":"invalid_request_error","param":null,"code":"headers_too_large"}}'
)


class GuardedProtocol(HttpToolsProtocol):
    max_header_bytes: ClassVar[int]
    header_timeout_s: ClassVar[float]

    @classmethod
    def limited(cls, max_header_bytes: int, header_timeout_s: float) -> "type[GuardedProtocol]":
        """The protocol with these limits."""
        limits = {"max_header_bytes": max_header_bytes, "header_timeout_s": header_timeout_s}
        return type("LimitedProtocol", (cls,), limits)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._num_header_bytes = 0
        self._is_in_headers = True
        self._has_ended = False
        """A request ended in what was read last; how much of it belongs to the next is not known."""
        self._deadline: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._deadline = self.loop.call_later(self.header_timeout_s, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._has_ended = False
        super().data_received(data)
        if self._is_in_headers and not self._has_ended:
            self._num_header_bytes += len(data)
            if self._num_header_bytes > self.max_header_bytes:
                message = _MESSAGE % self.max_header_bytes
                self.transport.write(_TOO_LARGE % (len(message), message))
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_headers = True
        self._num_header_bytes = 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.header_timeout_s, self.transport.close)

    def on_headers_complete(self) -> None:
        self._is_in_headers = False
        self._stop_clock()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._has_ended = True
        super().on_message_complete()

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
