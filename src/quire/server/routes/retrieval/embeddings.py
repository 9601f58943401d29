"""/v1/embeddings."""

import asyncio
import base64
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request, Response

from quire.protocol.openai import EmbeddingRequest
from quire.protocol.openai.answers import EmbeddingList
from quire.server.answering.embeddings import Embedded, embedded
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import in_time
from quire.server.state import call_of

router = APIRouter()


@router.post("/v1/embeddings", **described(EmbeddingRequest, EmbeddingList))
async def embeddings(request: Request) -> Response:
    """A vector of unit length for each text, by the embedding model or by the served one."""
    body = await read_body(request, EmbeddingRequest)
    found = await in_time(request, embedded(call_of(request), body))
    return JsonAnswer(await asyncio.to_thread(_answer, found, body.encoding_format))


def _answer(found: Embedded, form: str) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(vector, form)}
        for index, vector in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": found.num_tokens, "total_tokens": found.num_tokens}
    return {"object": "list", "model": found.model, "data": data, "usage": usage}


def _encoded(vector: npt.NDArray[np.float32], form: str) -> msgspec.Raw | str:
    """Numbers are written one vector at a time, so that the event loop gets its turns in between."""
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return msgspec.Raw(msgspec.json.encode(vector.astype(np.float64).tolist()))
