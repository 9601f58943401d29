"""Asks over HTTP: JSON out, JSON or server-sent events back."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from quire.client.asks import Ask
from quire.client.transport.address import Address
from quire.errors import ServerError, ServerUnreachableError

_DONE = b"[DONE]"
_CONNECT_S = 10.0
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HttpTransport:
    def __init__(self, address: Address) -> None:
        headers = {"Content-Type": "application/json"}
        if address.api_key:
            headers["Authorization"] = f"Bearer {address.api_key}"
        trusted = ssl.create_default_context(cafile=address.ca_file) if address.scheme == "https" else True
        self._client = httpx.AsyncClient(
            base_url=address.url,
            headers=headers,
            timeout=httpx.Timeout(address.timeout_s, connect=min(_CONNECT_S, address.timeout_s)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            verify=trusted,
        )
        self._url = address.url
        self._timeout_s = address.timeout_s

    async def call(self, ask: Ask) -> dict[str, Any]:
        async with self._sent(ask, ask.body) as response:
            return _decoded(await response.aread())

    async def stream(self, ask: Ask) -> AsyncGenerator[dict[str, Any], None]:
        body = {**ask.body, "stream": True, "stream_options": {"include_usage": True}}
        async with self._sent(ask, body) as response:
            async for data in events_of(response.aiter_bytes()):
                if data == _DONE:
                    return
                event = _decoded(data)
                if "error" in event:
                    raise _error_of(_status_of(event["error"]), event, response.headers)
                yield event
            raise ServerUnreachableError(f"{self._url} ended a stream before its end.", was_sent=True)

    async def close(self) -> None:
        await self._client.aclose()

    @asynccontextmanager
    async def _sent(self, ask: Ask, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """The answer once its head is there. Raises ServerError where it is one."""
        content, headers = ask.content, {"Content-Type": "application/octet-stream"}
        if content is None:
            content, headers = msgspec.json.encode(body) if ask.operation.method == "POST" else None, {}
        try:
            async with self._client.stream(
                ask.operation.method, ask.path, content=content, headers=headers
            ) as response:
                if response.status_code >= 400:
                    raise _error_of(response.status_code, _decoded(await response.aread()), response.headers)
                yield response
        except httpx.TransportError as error:
            was_sent = not isinstance(error, _NEVER_SENT)
            words = "did not answer" if was_sent else "cannot be reached"
            reason = f"nothing came for {self._timeout_s:g} s" if isinstance(error, httpx.ReadTimeout) else str(error)
            reason = reason or type(error).__name__
            raise ServerUnreachableError(f"{self._url} {words}: {reason}.", was_sent=was_sent) from error


async def events_of(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, wherever the pieces were cut. Only line ends of the format end a line: text within the
    data may hold others."""
    buffer, data = b"", []
    async for piece in pieces:
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data)
                data = []


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(data)
    except msgspec.DecodeError:
        answer = data.decode(errors="replace")[:200]
    return answer if isinstance(answer, dict) else {"error": {"message": str(answer)}}


def _status_of(error: Any) -> int:
    """Of an error within a stream, which tells it itself."""
    status = error.get("status") if isinstance(error, dict) else None
    return status if isinstance(status, int) else 500


def _error_of(status: int, answer: dict[str, Any], headers: httpx.Headers) -> ServerError:
    said = answer.get("error")
    told: dict[str, Any] = said if isinstance(said, dict) else {}
    return ServerError(
        str(told.get("message") or answer),
        status=status,
        code=told.get("code"),
        param=told.get("param"),
        retry_after_s=_seconds(headers.get("Retry-After")),
        request_id=headers.get("x-request-id"),
    )


def _seconds(text: str | None) -> float | None:
    """Dates, which our server does not send, are not read."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
