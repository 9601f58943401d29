"""/v1/messages, of the Anthropic API."""

import asyncio

from fastapi import APIRouter, Request, Response

from quire.protocol.anthropic import CountTokensRequest, MessagesRequest
from quire.protocol.anthropic.answers import ApiErrorResponse, MessageAnswer, TokenCount
from quire.server.answering.questions import ask_message, num_prompt_tokens
from quire.server.http.answers import answered
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import NAMED
from quire.server.state import call_of

router = APIRouter()


@router.post("/v1/messages", **described(MessagesRequest, MessageAnswer, ApiErrorResponse))
async def messages(request: Request) -> Response:
    """The next message of a conversation; with `stream`, as server-sent events."""
    call = call_of(request)
    call.state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, MessagesRequest)
    return await answered(request, await ask_message(call, body), is_stream=body.stream, form=NAMED)


@router.post("/v1/messages/count_tokens", **described(CountTokensRequest, TokenCount, ApiErrorResponse))
async def count_tokens(request: Request) -> Response:
    """How long the prompt of a conversation is."""
    state = call_of(request).state
    body = await read_body(request, CountTokensRequest)
    state.served_name(body.model)
    return JsonAnswer({"input_tokens": await asyncio.to_thread(num_prompt_tokens, state, body)})
