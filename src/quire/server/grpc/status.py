"""What a caller over gRPC is told of an error: the code for the HTTP status, and the rest as trailing metadata."""

from typing import Any

import grpc

from quire.server.errors import ApiError

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def code_of(error: ApiError) -> Any:
    return _CODES.get(error.status, grpc.StatusCode.UNKNOWN)


def metadata_of(error: ApiError) -> tuple[tuple[str, str], ...]:
    """`grpc-retry-pushback-ms` is what gRPC's own retries read, `retry-after` the same in HTTP's words."""
    told = {"quire-code": error.code, "quire-param": error.param, "retry-after": error.headers.get("Retry-After")}
    if told["retry-after"] is not None:
        told["grpc-retry-pushback-ms"] = f"{told['retry-after']}000"
    return tuple((name, value) for name, value in told.items() if value is not None and value.isascii())
