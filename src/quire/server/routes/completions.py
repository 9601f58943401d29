"""/v1/completions."""

from fastapi import APIRouter, Request, Response

from quire.protocol.openai import CompletionRequest, prompts_of, to_sampling_params
from quire.protocol.openai.answers import Completion
from quire.server.answering.answers import answered
from quire.server.answering.prompts import prepared
from quire.server.http.bodies import described, read_body
from quire.server.render.completion import CompletionWriter
from quire.server.state import state_of

router = APIRouter()


@router.post("/v1/completions", **described(CompletionRequest, Completion))
async def completions(request: Request) -> Response:
    """What follows each prompt; with `stream`, as server-sent events."""
    state = state_of(request)
    state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, CompletionRequest)
    name = state.served_name(body.model)
    params = to_sampling_params(body)
    prompts = prompts_of(body.prompt)
    requests = await prepared(request, body, prompts, params, add_special_tokens=body.add_special_tokens)
    return await answered(request, body, requests, CompletionWriter(body, requests, state.token_texts, name))
