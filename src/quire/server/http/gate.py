"""What every request passes: it gets an id, shows its key, is held to the limits, and leaves one line in the log.

Invariant: every request is answered, logged and counted exactly once.
"""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quire.observability.trace import Traces
from quire.server.errors import ApiError, answer_to
from quire.server.http.sse import ClientGoneError
from quire.server.state import ServerState
from quire.server.visit import CLIENT_GONE, Visit


class RequestGate:
    """The outermost application."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _HttpVisit(scope, send, self._state.traces)
        settings = self._state.settings
        try:
            scope["state"] |= {"facts": visit.facts, "request_id": visit.request_id, "trace": visit.trace}
            keys = visit.headers.get("authorization"), visit.headers.get("x-api-key")
            scope["state"]["caller"] = self._state.keys.caller(scope["path"], *keys)
            visit.check_headers(settings.max_header_bytes)
            visit.check_length(settings.max_body_bytes)
            limited = _LimitedBody(receive, settings.max_body_bytes, settings.body_timeout_s)
            await self._app(_as_get(scope), limited, visit.send)
        except (ClientGoneError, ClientDisconnect):
            visit.status = visit.status or CLIENT_GONE
        except Exception as error:
            answer = answer_to(scope, error)
            if visit.status is None:
                await answer(scope, receive, visit.send)
        finally:
            visit.trace.add({"http.route": visit.route})
            visit.end(scope["state"].get("caller"))
            self._state.metrics.count_http(visit.route, visit.status or CLIENT_GONE)


def _as_get(scope: Scope) -> Scope:
    """What can be had with GET can be asked about with HEAD; whoever speaks HTTP leaves the body out."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


class _HttpVisit(Visit):
    def __init__(self, scope: Scope, outer_send: Send, traces: Traces | None) -> None:
        self._scope = scope
        self._outer_send = outer_send
        pairs = reversed(scope["headers"])  # of a name that is given twice the first counts
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        super().__init__(scope["method"], scope["path"], self.headers, traces)

    def check_headers(self, limit: int) -> None:
        if sum(len(name) + len(value) for name, value in self._scope["headers"]) > limit:
            message = f"The headers of the request are too long; allowed: {limit} bytes."
            raise ApiError(431, message, code="headers_too_large")

    def check_length(self, limit: int) -> None:
        """Refuses by what the header says, before a byte of the body is read."""
        length = self.headers.get("content-length") or "0"
        if not (length.isascii() and length.isdigit()) or len(length) > 20 or int(length) > limit:
            raise _too_large(limit)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], (b"x-request-id", self.request_id.encode())]}
        await self._outer_send(message)

    @property
    def route(self) -> str:
        """The pattern of its route: paths as they were sent would be a series each."""
        route = self._scope.get("route")
        return getattr(route, "path", "other")


class _LimitedBody:
    """`receive` that refuses a body too long or too slow. After the body it waits without end for the client to go."""

    def __init__(self, receive: Receive, max_bytes: int, timeout_s: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._deadline_s = asyncio.get_running_loop().time() + timeout_s
        self._num_bytes = 0
        self._is_complete = False

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline_s):
                message = await self._receive()
        except TimeoutError:
            raise ApiError(408, "The body of the request did not come in time.", code="timeout") from None
        self._num_bytes += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        if self._num_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        return message


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The body is too long; allowed: {limit} bytes.", code="request_too_large")
