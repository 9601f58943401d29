"""/v1/rerank."""

from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from quire.protocol.rerank import RerankAnswer, RerankRequest, RerankResult
from quire.retrieval.neural.reranker import Reranker
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import in_time
from quire.server.render.writer import new_id
from quire.server.state import Call, call_of

router = APIRouter()


@router.post("/v1/rerank", **described(RerankRequest, RerankAnswer))
async def rerank(request: Request) -> Response:
    """How well each document answers the query, best first."""
    body = await read_body(request, RerankRequest)
    return JsonAnswer(await in_time(request, _ranked(call_of(request), body)))


async def _ranked(call: Call, body: RerankRequest) -> RerankAnswer:
    retrieval = call.state.retrieval
    name, reranker = retrieval.models.reranker(body.model)
    num_chars = len(body.query) * len(body.documents) + sum(map(len, body.texts))
    results, num_tokens = await retrieval.compute(call.caller, num_chars, partial(_results, reranker, body))
    call.state.metrics.count_reranked(len(body.documents))
    call.add_facts(num_prompt_tokens=num_tokens, user=body.user)
    usage: Any = {"prompt_tokens": num_tokens, "total_tokens": num_tokens}
    return {"id": new_id("rerank"), "model": name, "usage": usage, "results": results}


def _results(reranker: Reranker, body: RerankRequest) -> tuple[list[RerankResult], int]:
    logits, num_tokens = reranker.score_counted(body.query, body.texts)
    best = np.argsort(-logits, kind="stable")[: body.top_n]
    scores = 0.5 + 0.5 * np.tanh(logits.astype(np.float64) / 2)  # the logistic function, without overflow
    results: list[RerankResult] = []
    for index in best.tolist():
        result: RerankResult = {"index": index, "relevance_score": float(scores[index])}
        results.append({**result, "document": {"text": body.texts[index]}} if body.return_documents else result)
    return results, num_tokens
