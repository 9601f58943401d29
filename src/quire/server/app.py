"""The application: all routes around one engine, which is loaded while the server already answers /health.

app = create_app(lambda: AsyncEngine(…), ServedModel(("name",)), ServerSettings())
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

import quire
from quire.engine.async_engine import AsyncEngine
from quire.errors import ConfigError
from quire.protocol.anthropic import CountTokensRequest, MessagesRequest
from quire.protocol.collections import CollectionRequest, DeleteDocumentsRequest, SearchRequest, UpsertRequest
from quire.protocol.fields import Body
from quire.protocol.openai import (
    ChatCompletionRequest,
    CompletionRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    TokenizeRequest,
)
from quire.protocol.openai.responses import ResponsesRequest
from quire.protocol.rerank import RerankRequest
from quire.server.errors import add_error_handlers
from quire.server.http.bodies import add_schemas
from quire.server.http.gate import RequestGate
from quire.server.routes.generation import chat, completions, messages, responses
from quire.server.routes.model import models, tokens
from quire.server.routes.pages import page, reference
from quire.server.routes.retrieval import collections, documents, embeddings, rerank
from quire.server.routes.status import health, live
from quire.server.settings import ServerSettings
from quire.server.state import ServedModel, ServerState

log = logging.getLogger(__name__)

_BODIES: tuple[type[Body], ...] = (
    ChatCompletionRequest,
    CompletionRequest,
    ResponsesRequest,
    MessagesRequest,
    CountTokensRequest,
    EmbeddingRequest,
    CollectionRequest,
    UpsertRequest,
    DeleteDocumentsRequest,
    SearchRequest,
    RerankRequest,
    TokenizeRequest,
    DetokenizeRequest,
)


def create_app(
    load: Callable[[], AsyncEngine],
    model: ServedModel,
    settings: ServerSettings,
    *,
    on_load_error: Callable[[], None] = lambda: None,
) -> FastAPI:
    """`load` runs in a thread of its own when the server starts; what it makes is closed when the server ends. Where it
    fails, `app.state.server.error` says why, and `on_load_error` is called."""
    state = ServerState(model, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(load, state, on_load_error))
        try:
            async with _grpc_beside(state, on_load_error):
                yield
        finally:
            engine = await loading
            if engine is not None:
                await asyncio.to_thread(engine.close)
                state.close()
            await state.retrieval.close()
            if state.traces is not None:
                await asyncio.to_thread(state.traces.close)

    app = FastAPI(title="Quire", version=quire.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.server = state
    app.add_middleware(RequestGate, state=state)
    add_error_handlers(app)
    for routes in (
        models,
        chat,
        completions,
        responses,
        messages,
        embeddings,
        collections,
        documents,
        rerank,
        tokens,
        health,
        live,
        page,
        reference,
    ):
        app.include_router(routes.router)
    add_schemas(app, _BODIES)
    return app


@asynccontextmanager
async def _grpc_beside(state: ServerState, on_error: Callable[[], None]) -> AsyncIterator[None]:
    """gRPC in the same event loop, where a port was given; it has what is left of the time for draining."""
    if state.settings.grpc_port is None:
        yield
        return
    from quire.server.grpc.listener import GrpcListener

    listener = GrpcListener(state)
    try:
        state.grpc_port = await listener.start(state.settings)
    except ConfigError as error:
        state.error = error
        on_error()
    try:
        yield
    finally:
        state.drain()
        await listener.stop(state.grace_s)


async def _load(
    load: Callable[[], AsyncEngine], state: ServerState, on_load_error: Callable[[], None]
) -> AsyncEngine | None:
    try:
        await asyncio.to_thread(state.retrieval.models.load)
        engine = await asyncio.to_thread(load)
        state.open(engine)
    except Exception as error:
        state.error = error
        on_load_error()
        return None
    log.info("ready", extra={"model": state.model.names[0], "max_model_len": engine.max_model_len})
    return engine
