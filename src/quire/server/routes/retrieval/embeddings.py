"""/v1/embeddings."""

import base64

import numpy as np
from fastapi import APIRouter, Request, Response

from quire.engine.outputs import EmbeddingOutput
from quire.protocol.openai import EmbeddingRequest
from quire.protocol.openai.answers import EmbeddingList
from quire.server.answering.questions import ask_embeddings, embedded
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import while_there
from quire.server.state import call_of

router = APIRouter()


@router.post("/v1/embeddings", **described(EmbeddingRequest, EmbeddingList))
async def embeddings(request: Request) -> Response:
    """The last hidden state of each text, at unit length."""
    call = call_of(request)
    body = await read_body(request, EmbeddingRequest)
    name = call.state.served_name(body.model)
    requests = await ask_embeddings(call, body)
    with call.admitted(requests) as ticket:
        work = embedded(call, requests, ticket)
        outputs = await while_there(request.receive, work, call.state.settings.request_timeout_s)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(output, body.encoding_format)}
        for index, output in enumerate(outputs)
    ]
    num_tokens = sum(len(request.token_ids) for request in requests.values())
    usage = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return JsonAnswer({"object": "list", "model": name, "data": data, "usage": usage})


def _encoded(output: EmbeddingOutput, form: str) -> list[float] | str:
    if form == "base64":
        return base64.b64encode(output.embedding.astype("<f4").tobytes()).decode()
    numbers: list[float] = output.embedding.astype(np.float64).tolist()
    return numbers
