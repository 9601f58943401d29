"""Bodies: of a request, read and checked; of an answer, written; and of both in the OpenAPI document.

A body must call itself JSON: a page in a browser can send any other kind to a server on the same machine unasked.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from pydantic import TypeAdapter

from quire.protocol.fields import Body, BodyT, parse
from quire.protocol.openai.answers import ErrorResponse
from quire.server.errors import ApiError

LARGE_BYTES = 1 << 18
"""A longer body is read in a thread, so that streams do not wait for it."""

_EVENT = {
    "type": "object",
    "description": "Each event of the stream; `data` is JSON, or [DONE] in the last one.",
    "properties": {"data": {"type": "string"}, "event": {"type": "string"}},
    "required": ["data"],
}
_REF = "#/components/schemas/{model}"


class JsonAnswer(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


async def read_body(request: Request, kind: type[BodyT]) -> BodyT:
    """Raises ApiError 415 where it is not JSON by name, InvalidRequestError where it is not what it should be."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        given = f"is {media_type[:80]!r}" if media_type else "is missing"
        raise ApiError(415, f"The Content-Type {given}; allowed: application/json.")
    data = await request.body()
    if len(data) > LARGE_BYTES:
        return await asyncio.to_thread(parse, kind, data)
    return parse(kind, data)


def described(kind: type[Body] | None, answer: Any, error: Any = ErrorResponse) -> dict[str, Any]:
    """Arguments of a route that say in the OpenAPI document what it takes and gives."""
    can_stream = kind is not None and "stream" in kind.model_fields
    content = {"content": {"text/event-stream": {"schema": _EVENT}}} if can_stream else {}
    said: dict[str, Any] = {
        "responses": {200: {"model": answer, **content}, "4XX": {"model": error}, "5XX": {"model": error}},
        "response_model": None,
    }
    if kind is not None:
        taken = {"application/json": {"schema": {"$ref": _REF.format(model=kind.__name__)}}}
        said["openapi_extra"] = {"requestBody": {"required": True, "content": taken}}
    return said


def add_schemas(app: FastAPI, kinds: Iterable[type[Body]]) -> None:
    """Puts the request types that routes refer to into the OpenAPI document."""
    inherited = app.openapi

    def openapi() -> dict[str, Any]:
        document = inherited()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for kind in kinds:
            schema = TypeAdapter(kind).json_schema(ref_template=_REF, by_alias=True)
            schemas.update(schema.pop("$defs", {}))
            schemas[kind.__name__] = schema
        return document

    app.openapi = openapi  # type: ignore[method-assign]
