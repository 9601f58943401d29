"""The events of a stream put together: the answer that would have come whole.

They belong to one request, are in order, and end as streams do.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from quire.protocol.openai.answers import ChatCompletion, ChatCompletionChunk, Completion

_LISTS = ("token_ids", "prompt_token_ids")


def joined_chat(chunks: Sequence[ChatCompletionChunk]) -> ChatCompletion:
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for new in chunk["choices"]:
            choice = choices.setdefault(new["index"], _empty_chat_choice(new["index"]))
            _add_delta(choice["message"], new["delta"])
            _add_rest(choice, new)
    for choice in choices.values():
        message = choice["message"]
        if "tool_calls" in message:
            message["tool_calls"] = [*message["tool_calls"].values()]
            message["content"] = message["content"] or None
    return _whole(chunks, choices, "chat.completion")  # type: ignore[return-value]


def joined_completion(chunks: Sequence[Completion]) -> Completion:
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        for new in chunk["choices"]:
            choice = choices.setdefault(new["index"], {"index": new["index"], "text": "", **_OPEN})
            choice["text"] += new["text"]
            _add_rest(choice, new)
    return _whole(chunks, choices, "text_completion")  # type: ignore[return-value]


_OPEN = {"logprobs": None, "finish_reason": None, "stop_reason": None}


def _empty_chat_choice(index: int) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", "content": "", "refusal": None}, **_OPEN}


def _whole(chunks: Sequence[Any], choices: dict[int, dict[str, Any]], kind: str) -> dict[str, Any]:
    first = chunks[0]
    head = {"id": first["id"], "object": kind, "created": first["created"], "model": first["model"]}
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    prompt = {"prompt_token_ids": first["prompt_token_ids"]} if "prompt_token_ids" in first else {}
    return {**head, "choices": [choices[index] for index in sorted(choices)], "usage": usage, **prompt}


def _add_delta(message: dict[str, Any], delta: Any) -> None:
    for name in ("content", "reasoning_content"):
        if delta.get(name):
            message[name] = message.get(name, "") + delta[name]
    if delta.get("citations"):
        message["citations"] = [*message.get("citations", ()), *delta["citations"]]
    for call in delta.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", {})
        known = calls.setdefault(
            call["index"], {"id": call.get("id"), "type": "function", "function": {"name": "", "arguments": ""}}
        )
        known["function"]["name"] += call["function"].get("name") or ""
        known["function"]["arguments"] += call["function"].get("arguments") or ""


def _add_rest(choice: dict[str, Any], new: Any) -> None:
    for name in _LISTS:
        if new.get(name) is not None:
            choice[name] = [*choice.get(name, ()), *new[name]]
    for name in ("finish_reason", "stop_reason"):
        if new.get(name) is not None:
            choice[name] = new[name]
    if new.get("logprobs"):
        choice["logprobs"] = _joined_lists(choice["logprobs"] or {}, new["logprobs"])


def _joined_lists(first: dict[str, list[Any]], second: dict[str, Iterable[Any]]) -> dict[str, list[Any]]:
    return {name: [*first.get(name, ()), *items] for name, items in second.items()}
