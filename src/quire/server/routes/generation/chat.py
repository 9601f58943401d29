"""/v1/chat/completions."""

from fastapi import APIRouter, Request, Response

from quire.protocol.openai import ChatCompletionRequest
from quire.protocol.openai.answers import ChatCompletion
from quire.server.answering.questions import ask_chat
from quire.server.http.answers import answered
from quire.server.http.bodies import described, read_body
from quire.server.state import call_of

router = APIRouter()


@router.post("/v1/chat/completions", **described(ChatCompletionRequest, ChatCompletion))
async def chat_completions(request: Request) -> Response:
    """The next message of a conversation; with `stream`, as server-sent events."""
    call = call_of(request)
    call.state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, ChatCompletionRequest)
    return await answered(request, await ask_chat(call, body), is_stream=body.stream)
