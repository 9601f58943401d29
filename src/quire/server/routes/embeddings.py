"""/v1/embeddings."""

import asyncio
import base64

import numpy as np
from fastapi import APIRouter, Request, Response

from quire.engine.outputs import EmbeddingOutput
from quire.engine.prompts import PreparedRequest
from quire.protocol.openai import EmbeddingRequest, prompts_of
from quire.protocol.openai.answers import EmbeddingList
from quire.server.answering.prompts import salted
from quire.server.errors import ApiError
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import while_there
from quire.server.state import ServerState, add_facts, caller_of, state_of

router = APIRouter()


@router.post("/v1/embeddings", **described(EmbeddingRequest, EmbeddingList))
async def embeddings(request: Request) -> Response:
    """The last hidden state of each text, at unit length."""
    state = state_of(request)
    body = await read_body(request, EmbeddingRequest)
    name, engine = state.served_name(body.model), state.engine
    salt = caller_of(request).cache_salt(body.cache_salt)
    prepared = [await engine.prepare_embedding(salted(text, salt)) for text in prompts_of(body.input)]
    num_tokens = sum(len(p.token_ids) for p in prepared)
    add_facts(request, num_prompt_tokens=num_tokens, user=body.user)
    with state.admitted(caller_of(request), prepared) as ticket:
        state.admission.started(ticket)
        outputs = await while_there(request.receive, _embed_all(state, prepared), state.settings.request_timeout_s)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(output, body.encoding_format)}
        for index, output in enumerate(outputs)
    ]
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return JsonAnswer({"object": "list", "model": name, "data": data, "usage": usage})


async def _embed_all(state: ServerState, prepared: list[PreparedRequest]) -> list[EmbeddingOutput]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(state.engine.embed(text)) for text in prepared]
    outputs = [task.result() for task in tasks]
    for output in outputs:
        if output.error is not None:
            raise ApiError(500, "The engine could not finish this; the server's log says why.", kind="server_error")
    return outputs


def _encoded(output: EmbeddingOutput, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(output.embedding.astype("<f4").tobytes()).decode()
    numbers: list[float] = output.embedding.astype(np.float64).tolist()
    return numbers
