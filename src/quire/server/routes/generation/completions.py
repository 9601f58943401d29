"""/v1/completions."""

from fastapi import APIRouter, Request, Response

from quire.protocol.openai import CompletionRequest
from quire.protocol.openai.answers import Completion
from quire.server.answering.questions import ask_completion
from quire.server.http.answers import answered
from quire.server.http.bodies import described, read_body
from quire.server.state import call_of

router = APIRouter()


@router.post("/v1/completions", **described(CompletionRequest, Completion))
async def completions(request: Request) -> Response:
    """What follows each prompt; with `stream`, as server-sent events."""
    call = call_of(request)
    call.state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, CompletionRequest)
    return await answered(request, await ask_completion(call, body), is_stream=body.stream)
