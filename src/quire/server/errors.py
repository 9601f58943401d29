"""Errors in the shape of the API that was asked, whatever raised them.

    {"error": {"message": …, "type": …, "param": …, "code": …}}                 OpenAI's, and everybody's
    {"type": "error", "error": {"type": …, "message": …}, "request_id": …}      below /v1/messages

Invariant: a message that leaves here is one of ours; the text of an unexpected exception stays in the log.
"""

import logging
import math
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from quire.errors import (
    CapacityError,
    CollectionLockedError,
    CorruptIndexError,
    EngineClosedError,
    InvalidRequestError,
    ModelLoadError,
    StorageError,
    shown,
)
from quire.protocol.anthropic.answers import ApiErrorResponse
from quire.protocol.openai.answers import ErrorResponse
from quire.scheduling.rates import Refused

log = logging.getLogger(__name__)

INVALID = "invalid_request_error"
SERVER = "server_error"
_LOADING_RETRY_S = 5
_ANTHROPIC_PATH = "/v1/messages"
_ANTHROPIC_KINDS = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ApiError(Exception):
    """An answer with a status of its own."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> ErrorResponse:
        return {"error": {"message": str(self), "type": self.kind, "param": self.param, "code": self.code}}

    def event(self) -> ErrorResponse:
        """The same in a stream, whose status line has said 200 by then."""
        return {"error": {**self.body()["error"], "status": self.status}}


def unavailable(message: str, retry_after_s: float = _LOADING_RETRY_S, code: str = "unavailable") -> ApiError:
    return ApiError(503, message, kind=SERVER, code=code, headers=_retry_after(retry_after_s))


def refused(by: Refused) -> ApiError:
    """429 for the caller's own limit, 503 for ours; 400 where coming again is of no use."""
    if by.retry_after_s is None:
        return ApiError(400, f"{by.reason} Ask for less at a time.", code="request_too_large")
    if by.kind == "capacity":
        return unavailable(by.reason, by.retry_after_s, "overloaded")
    headers = _retry_after(by.retry_after_s)
    return ApiError(429, by.reason, kind="rate_limit_error", code="rate_limit_exceeded", headers=headers)


def as_api_error(error: Exception) -> ApiError:
    """What the caller is told of `error`."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, InvalidRequestError):
        return ApiError(400, str(error), param=error.param, code=error.code)
    if isinstance(error, EngineClosedError):
        return unavailable(str(error), code="engine_closed")
    if isinstance(error, CapacityError):
        return unavailable(str(error), code="overloaded")
    if isinstance(error, HTTPException):
        return _of_status(error)
    if isinstance(error, RequestValidationError):
        return _of_address(error)
    if isinstance(error, CollectionLockedError):
        message = "Another process writes to this collection; close it there, or send this again when it has ended."
        return ApiError(409, message, param="collection", code="collection_locked")
    if isinstance(error, CorruptIndexError):
        log.error("a collection is damaged", exc_info=error)
        message = "The collection is damaged. The server's log says where, and `quire index verify` what can be mended."
        return ApiError(500, message, kind=SERVER, param="collection", code="collection_damaged")
    if isinstance(error, StorageError | ModelLoadError):
        log.error("a collection cannot be used", exc_info=error)
        what = "disk" if isinstance(error, StorageError) else "embedding model"
        message = f"The collection's {what} cannot be used now; the server's log says why."
        return unavailable(message, code="collection_unavailable")
    log.error("a request failed", exc_info=error)
    return ApiError(500, "The server failed at this request; its log says why.", kind=SERVER, code="internal_error")


def in_anthropic_words(error: ApiError, request_id: str | None = None) -> ApiErrorResponse:
    kind = _ANTHROPIC_KINDS.get(error.status, "api_error" if error.status >= 500 else INVALID)
    return {"type": "error", "error": {"type": kind, "message": str(error)}, "request_id": request_id}


def answer_to(scope: Scope, error: Exception) -> JSONResponse:
    """`error` as the one who sent the request understands it."""
    said = as_api_error(error)
    is_anthropic = scope["path"].startswith(_ANTHROPIC_PATH)
    body = in_anthropic_words(said, scope["state"].get("request_id")) if is_anthropic else said.body()
    return JSONResponse(body, said.status, said.headers)


def add_error_handlers(app: FastAPI) -> None:
    for kind in (
        ApiError,
        InvalidRequestError,
        EngineClosedError,
        CapacityError,
        CorruptIndexError,
        StorageError,
        ModelLoadError,
        HTTPException,
        RequestValidationError,
    ):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    return answer_to(request.scope, error)


def _of_status(error: HTTPException) -> ApiError:
    """Of the framework's own errors: no such path, no such method."""
    allowed = (error.headers or {}).get("Allow", "others")
    messages = {
        404: "There is nothing at this address; /docs shows what there is.",
        405: f"This address does not take that method; allowed: {allowed}.",
    }
    message, code = messages.get(error.status_code, str(error.detail)), {404: "not_found"}.get(error.status_code)
    return ApiError(error.status_code, message, code=code, headers=error.headers)


def _of_address(error: RequestValidationError) -> ApiError:
    """A parameter of the address that cannot be read; bodies are read by ourselves."""
    first = error.errors()[0]
    param, message = str(first["loc"][-1]), str(first["msg"])
    text = f"{param} is {shown(first.get('input'))}; {message[:1].lower()}{message[1:]}."
    return ApiError(400, text, param=param)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
