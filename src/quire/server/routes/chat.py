"""/v1/chat/completions."""

import asyncio

from fastapi import APIRouter, Request, Response

from quire.protocol.openai import ChatCompletionRequest, to_sampling_params
from quire.protocol.openai.answers import ChatCompletion
from quire.server.answering.answers import answered
from quire.server.answering.prompts import chat_token_ids, prepared
from quire.server.http.bodies import described, read_body
from quire.server.render.chat import ChatWriter
from quire.server.state import state_of

router = APIRouter()


@router.post("/v1/chat/completions", **described(ChatCompletionRequest, ChatCompletion))
async def chat_completions(request: Request) -> Response:
    """The next message of a conversation; with `stream`, as server-sent events."""
    state = state_of(request)
    state.engine  # noqa: B018 (refuses while there is none)
    body = await read_body(request, ChatCompletionRequest)
    name = state.served_name(body.model)
    params = to_sampling_params(body)
    token_ids = await asyncio.to_thread(chat_token_ids, state, body.messages, body)
    requests = await prepared(request, body, [token_ids], params)
    return await answered(request, body, requests, ChatWriter(body, requests, state.token_texts, name))
