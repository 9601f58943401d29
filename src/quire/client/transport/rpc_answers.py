"""Answers of quire.proto as those of the HTTP API: what protobuf leaves out because it is nothing is there again."""

import json
from collections.abc import Callable
from typing import Any

from quire.protocol.protobuf import as_dict

_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
_NO_SCORES: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}


def _chat(event: Any) -> dict[str, Any]:
    fields = as_dict(event, with_zeros=True)
    for choice in fields.setdefault("choices", []):
        choice.setdefault("finish_reason", None)
        scores = choice.setdefault("logprobs", None)
        for score in () if scores is None else scores.setdefault("content", []):
            score.setdefault("top_logprobs", [])
    return _streamed(fields, "chat.completion.chunk")


def _completion(event: Any) -> dict[str, Any]:
    fields = as_dict(event, with_zeros=True)
    for choice in fields.setdefault("choices", []):
        for name in ("finish_reason", "stop_reason", "logprobs"):
            choice.setdefault(name, None)
        if choice["logprobs"] is not None:
            choice["logprobs"] = {**_NO_SCORES, **choice["logprobs"]}
    return _streamed(fields, "text_completion")


def _streamed(fields: dict[str, Any], kind: str) -> dict[str, Any]:
    usage = fields.get("usage")
    if usage is not None:
        usage = {**_NO_USAGE, "prompt_tokens_details": {"cached_tokens": 0}, **usage}
    return {**fields, "object": kind, "usage": usage}


def _embeddings(answer: Any) -> dict[str, Any]:
    fields = as_dict(answer, with_zeros=True)
    data = [{"object": "embedding", "embedding": [], **item} for item in fields.get("data", [])]
    usage = {name: fields.get("usage", {}).get(name, 0) for name in ("prompt_tokens", "total_tokens")}
    return {**fields, "object": "list", "data": data, "usage": usage}


def _hits(answer: Any) -> dict[str, Any]:
    data = as_dict(answer, with_zeros=True).get("data", [])
    hits = [{"heading": None, **hit, "metadata": json.loads(hit["metadata"])} for hit in data]
    return {"object": "list", "data": hits}


def _tokens(answer: Any) -> dict[str, Any]:
    return {"tokens": [], **as_dict(answer, with_zeros=True)}


def _plain(answer: Any) -> dict[str, Any]:
    return as_dict(answer, with_zeros=True)


def _models(answer: Any) -> dict[str, Any]:
    data = as_dict(answer, with_zeros=True).get("data", [])
    return {"object": "list", "data": [{**model, "object": "model", "parent": None} for model in data]}


ANSWERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "Chat": _chat,
    "Generate": _completion,
    "Embed": _embeddings,
    "Search": _hits,
    "Upsert": _plain,
    "Tokenize": _tokens,
    "Detokenize": _plain,
    "ModelInfo": _models,
}
"""By the name of the call."""
