"""/health, /ready, /version and /metrics: what those ask who look after a server."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

import quire
from quire.observability.metrics import CONTENT_TYPE
from quire.server.errors import ApiError
from quire.server.state import state_of

router = APIRouter()


@router.get("/health", response_model=None)
async def health(request: Request) -> Response:
    """200 as long as the process need not be restarted."""
    is_healthy = state_of(request).is_healthy
    return JSONResponse({"status": "ok" if is_healthy else "failed"}, 200 if is_healthy else 503)


@router.get("/ready", response_model=None)
async def ready(request: Request) -> Response:
    """200 when requests are served: the model is loaded and the server is not shutting down."""
    try:
        state_of(request).engine  # noqa: B018 (raises where there is none)
    except ApiError as error:
        return JSONResponse({"status": error.code, "message": str(error)}, error.status, error.headers)
    return JSONResponse({"status": "ready"})


@router.get("/version", response_model=None)
async def version() -> Response:
    return JSONResponse({"version": quire.__version__})


@router.get("/metrics", response_model=None, response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """In Prometheus' text format."""
    return Response(state_of(request).metrics.text(), headers={"Content-Type": CONTENT_TYPE})
