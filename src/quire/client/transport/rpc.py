"""Asks over gRPC: bodies as messages of quire.proto, and its answers as the dicts that HTTP gives.

Chat and Generate are streams in quire.proto; a whole answer is one that was joined.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc

from quire.client.asks import CHAT, Ask
from quire.client.joined import joined_chat, joined_completion
from quire.client.transport.address import Address
from quire.client.transport.rpc_answers import ANSWERS
from quire.errors import InvalidRequestError, ServerError, ServerUnreachableError
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol.rpc_bodies import message_of

SERVICE = "/quire.v1.Quire/"
_STREAMED = frozenset({"Chat", "Generate"})
_HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "FAILED_PRECONDITION": 409,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class GrpcTransport:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._channel: Any = None
        self._metadata = (("authorization", f"Bearer {address.api_key}"),) if address.api_key else ()

    async def call(self, ask: Ask) -> dict[str, Any]:
        name = _name_of(ask)
        if name in _STREAMED:
            join: Callable[[Any], Any] = joined_chat if ask.operation is CHAT else joined_completion
            async with self._told(), asyncio.timeout(self._address.timeout_s):
                return dict(join([event async for event in self.stream(ask)]))
        async with self._told():
            call = self._method(name, "unary_unary")(_request(name, ask), **self._options)
            return ANSWERS[name](await call)

    async def stream(self, ask: Ask) -> AsyncGenerator[dict[str, Any], None]:
        name = _name_of(ask)
        call = self._method(name, "unary_stream")(_request(name, ask), metadata=self._metadata)
        try:
            async with self._told():
                while True:
                    async with asyncio.timeout(self._address.timeout_s):
                        event = await call.read()
                    if event is grpc.aio.EOF:
                        break
                    yield ANSWERS[name](event)
                await call.code()
        finally:
            call.cancel()

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    @property
    def _options(self) -> dict[str, Any]:
        return {"metadata": self._metadata, "timeout": self._address.timeout_s}

    def _method(self, name: str, kind: str) -> Any:
        answer = getattr(pb, f"{name}Event" if name in _STREAMED else f"{name}Response")
        if self._channel is None:
            self._channel = _channel_to(self._address)
        make = getattr(self._channel, kind)
        return make(SERVICE + name, request_serializer=_serialized, response_deserializer=answer.FromString)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        """Errors in our own words."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise _error_of(error, self._address.url) from error
        except asyncio.CancelledError as error:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            raise ServerUnreachableError(
                f"{self._address.url} broke off: the call was closed.", was_sent=True
            ) from error
        except TimeoutError as error:
            reason = f"nothing came for {self._address.timeout_s:g} s"
            raise ServerUnreachableError(f"{self._address.url} did not answer: {reason}.", was_sent=True) from error


def _name_of(ask: Ask) -> str:
    """Of its call. Raises InvalidRequestError for what quire.proto has not."""
    if ask.operation.rpc is None:
        what = f"{ask.operation.method} {ask.operation.path}"
        raise InvalidRequestError(f"{what} cannot be asked over gRPC; give base_url as http:// or https://.")
    return ask.operation.rpc


def _request(name: str, ask: Ask) -> Any:
    return message_of(getattr(pb, f"{name}Request"), {**ask.names, **ask.body})


def _serialized(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def _channel_to(address: Address) -> Any:
    """In the running event loop, which it is bound to."""
    target = urlsplit(address.url).netloc
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
    if address.scheme == "grpc":
        return grpc.aio.insecure_channel(target, options)
    roots = None if address.ca_file is None else Path(os.path.expanduser(address.ca_file)).read_bytes()
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots), options)


def _error_of(error: grpc.aio.AioRpcError, url: str) -> Exception:
    name, told = error.code().name, dict(error.trailing_metadata() or ())
    has_words_of_ours = "quire-code" in told or "quire-param" in told or "retry-after" in told
    request_id = {**dict(error.initial_metadata() or ()), **told}.get("x-request-id")
    if name == "UNAVAILABLE" and not has_words_of_ours:
        was_sent = request_id is not None  # a server tells it before it begins
        words = "broke off" if was_sent else "cannot be reached"
        return ServerUnreachableError(f"{url} {words}: {error.details()}.", was_sent=was_sent)
    retry_after = told.get("retry-after")
    status = _HTTP_STATUS.get(name, 500)
    if name == "RESOURCE_EXHAUSTED":
        status = 413 if retry_after is None else 429
    return ServerError(
        error.details() or name,
        status=status,
        code=told.get("quire-code"),
        param=told.get("quire-param"),
        retry_after_s=None if retry_after is None else float(retry_after),
        request_id=request_id,
    )
