"""/v1/models: the names this server answers to, all of one model."""

from fastapi import APIRouter, Request, Response

from quire.protocol.openai.answers import Model, ModelList
from quire.server.http.bodies import JsonAnswer, described
from quire.server.state import state_of

router = APIRouter()


@router.get("/v1/models", **described(None, ModelList))
async def models(request: Request) -> Response:
    """The names this server answers to, all of one model."""
    state = state_of(request)
    return JsonAnswer({"object": "list", "data": [state.model_named(name) for name in state.model.names]})


@router.get("/v1/models/{name:path}", **described(None, Model))
async def model(request: Request, name: str) -> Response:
    """One of them."""
    state = state_of(request)
    return JsonAnswer(state.model_named(state.served_name(name)))
