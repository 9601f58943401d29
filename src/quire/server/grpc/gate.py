"""What every call over gRPC passes: it gets an id, shows its key, is held to the limits, and leaves a line in the log.

Handlers find who asks in `current_call`. A call that its client cancels, or whose deadline passes, is cancelled in the
event loop, which closes what the handler has open and so aborts its generation.
Invariant: every call is answered, logged and counted exactly once.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from functools import partial
from inspect import isasyncgen
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from quire.server.auth import Caller
from quire.server.errors import ApiError, as_api_error
from quire.server.grpc.status import code_of, metadata_of
from quire.server.state import Call, ServerState
from quire.server.visit import CLIENT_GONE, Visit

HEALTH = "/grpc.health.v1.Health/"

current_call: ContextVar[Call] = ContextVar("current_call")


class RpcGate(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        """The handler of a method, with the gate before it. Messages are read behind it, so that a bad one is answered
        like any other mistake."""
        handler = await continuation(details)
        if handler is None:
            return None
        write = handler.response_serializer
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(partial(self._answer, details, handler), None, write)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, details, handler), None, write)
        talk = partial(self._talk, details, handler)
        return grpc.stream_stream_rpc_method_handler(talk, handler.request_deserializer, write)

    async def _answer(self, details: Any, handler: Any, data: bytes, context: Any) -> Any:
        async with self._visit(details, context):
            return await handler.unary_unary(_read(handler, data), context)

    async def _stream(self, details: Any, handler: Any, data: bytes, context: Any) -> None:
        async with self._visit(details, context):
            await self._write_all(handler.unary_stream(_read(handler, data), context), context)

    async def _talk(self, details: Any, handler: Any, messages: Any, context: Any) -> None:
        async with self._visit(details, context):
            await self._write_all(handler.stream_stream(messages, context), context)

    async def _write_all(self, answers: Any, context: Any) -> None:
        if not isasyncgen(answers):
            await answers  # it writes by itself
            return
        timeout_s = self._state.settings.write_timeout_s
        async with aclosing(answers):
            async for answer in answers:
                try:
                    async with asyncio.timeout(timeout_s):
                        await context.write(answer)
                except TimeoutError:
                    raise ApiError(504, f"The reader took nothing of the stream for {timeout_s:g} s.") from None

    @asynccontextmanager
    async def _visit(self, details: Any, context: Any) -> AsyncIterator[None]:
        said = {name: value for name, value in details.invocation_metadata or () if isinstance(value, str)}
        traces = None if details.method.startswith(HEALTH) else self._state.traces
        visit, caller = Visit("grpc", details.method, said, traces), None
        limit_s = self._state.settings.request_timeout_s
        try:
            caller = self._caller(details.method, said.get("authorization"))
            current_call.set(Call(self._state, caller, visit.request_id, visit.facts, visit.trace))
            await context.send_initial_metadata((("x-request-id", visit.request_id),))
            async with asyncio.timeout(limit_s):
                yield
            visit.status = 200
        except asyncio.CancelledError:
            visit.status = CLIENT_GONE
            raise
        except Exception as error:
            told = _too_long(limit_s) if isinstance(error, TimeoutError) else as_api_error(error)
            visit.status = told.status
            # A client may hear of the end before it has read how the call began.
            await context.abort(code_of(told), str(told), (*metadata_of(told), ("x-request-id", visit.request_id)))
        finally:
            visit.end(caller)
            self._state.metrics.count_http(details.method, visit.status or CLIENT_GONE)

    def _caller(self, method: str, authorization: str | None) -> Caller:
        return self._state.keys.caller("/health" if method.startswith(HEALTH) else method, authorization)


def _read(handler: Any, data: bytes) -> Any:
    try:
        return handler.request_deserializer(data)
    except DecodeError:
        raise ApiError(400, "The message is not one of quire.proto's.") from None


def _too_long(limit_s: float | None) -> ApiError:
    return ApiError(504, f"The request took longer than {limit_s:g} s.", kind="server_error", code="timeout")
