"""/live: the engine at this moment, for the page and whoever else watches."""

import asyncio
from collections.abc import Iterable

from fastapi import APIRouter, Request, Response

from quire.protocol.live import Live, Quantiles
from quire.server.http.bodies import JsonAnswer, described
from quire.server.state import state_of

router = APIRouter()

MAX_CELLS = 4096


@router.get("/live", **described(None, Live))
async def live(request: Request) -> Response:
    """What runs and waits, counters since the start, times to the first token, what collections are asked most of late,
    and a map of the KV blocks."""
    state = state_of(request)
    stats, blocks = state.engine.stats(), await asyncio.to_thread(state.engine.block_map, MAX_CELLS)
    answer: Live = {
        "model": state.model.names[0],
        "num_running": stats.num_running,
        "num_waiting": stats.num_waiting,
        "num_prompt_tokens": stats.num_prefill_tokens,
        "num_output_tokens": stats.num_decode_tokens,
        "num_cached_tokens": stats.num_cached_tokens,
        "num_preemptions": stats.num_preemptions,
        "first_token_s": _quantiles(state.metrics.recent_first_token_s.copy()),
        "hot_queries": state.retrieval.hot_queries(),
        "blocks": {"cells": blocks.cells, "blocks_per_cell": blocks.blocks_per_cell, "counts": blocks.counts},
    }
    return JsonAnswer(answer)


def _quantiles(values: Iterable[float]) -> Quantiles:
    ranked = sorted(values)
    last = len(ranked) - 1
    return {
        "count": len(ranked),
        "p50": ranked[last // 2] if ranked else None,
        "p95": ranked[round(last * 0.95)] if ranked else None,
    }
