"""/tokenize and /detokenize, as vLLM has them."""

import asyncio

from fastapi import APIRouter, Request, Response

from quire.protocol.openai import DetokenizeRequest, TokenizeRequest
from quire.protocol.openai.answers import Text, Tokens
from quire.server.answering.questions import text_of, token_ids_of
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.state import state_of

router = APIRouter()


@router.post("/tokenize", **described(TokenizeRequest, Tokens))
async def tokenize(request: Request) -> Response:
    """The token ids of a prompt or of a conversation."""
    state, body = state_of(request), await read_body(request, TokenizeRequest)
    state.served_name(body.model)
    token_ids = await asyncio.to_thread(token_ids_of, state, body)
    answer: Tokens = {"count": len(token_ids), "max_model_len": state.engine.max_model_len, "tokens": token_ids}
    if body.return_token_strs:
        answer["token_strs"] = [state.token_texts.text(token_id) for token_id in token_ids]
    return JsonAnswer(answer)


@router.post("/detokenize", **described(DetokenizeRequest, Text))
async def detokenize(request: Request) -> Response:
    """The text of token ids, special ones written out."""
    state, body = state_of(request), await read_body(request, DetokenizeRequest)
    state.served_name(body.model)
    return JsonAnswer({"prompt": await asyncio.to_thread(text_of, state, body)})
