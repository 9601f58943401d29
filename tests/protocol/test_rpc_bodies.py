"""Bodies as messages and back: what HTTP would read of both is the same."""

import json
from typing import Any

import pytest
from google.protobuf.message import Message

from quire.errors import InvalidRequestError
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol.collections import SearchRequest, UpsertRequest
from quire.protocol.fields import Body, checked
from quire.protocol.openai import ChatCompletionRequest, CompletionRequest, EmbeddingRequest, TokenizeRequest
from quire.protocol.rpc_bodies import body_of, message_of

SCHEMA = {"type": "object", "properties": {"z": {"type": "integer"}, "a": {"minimum": 0.5}, "m": {"enum": [1, "b"]}}}
TOOL = {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": True}}
ASKED = [{"role": "user", "content": "a"}]
CALLED = {
    "role": "assistant",
    "content": "b",
    "reasoning_content": "c",
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
}
TOLD = {"role": "tool", "tool_call_id": "1", "content": "d"}
FILTER = {"id": 2**62 + 1, "z": {"$in": [1.0, None, "ä"]}, "a": True}
SAMPLING: dict[str, Any] = {
    "temperature": 0.0,
    "top_k": -1,
    "n": 2,
    "stop": ["x", "y"],
    "stop_token_ids": [1, 2],
    "logit_bias": {"5": -100.0},
    "seed": -3,
    "priority": -1,
    "slo_ms": 5.5,
    "cache_salt": "s",
    "ignore_eos": True,
    "skip_special_tokens": False,
    "structured_outputs": {"choice": ["a", "b"]},
}


@pytest.mark.parametrize(
    ("kind", "as_message", "body"),
    [
        (CompletionRequest, pb.GenerateRequest, {"prompt": ["a", "b"], "max_tokens": 0, "echo": True, "logprobs": 0}),
        (CompletionRequest, pb.GenerateRequest, {"prompt": [[1, 2], []], "user": "u", "model": "m", **SAMPLING}),
        (ChatCompletionRequest, pb.ChatRequest, {"messages": [*ASKED, CALLED, TOLD], "tools": [TOOL], **SAMPLING}),
        (ChatCompletionRequest, pb.ChatRequest, {"messages": ASKED, "tools": [TOOL], "tool_choice": "required"}),
        (
            ChatCompletionRequest,
            pb.ChatRequest,
            {
                "messages": ASKED,
                "tools": [TOOL],
                "tool_choice": {"type": "function", "function": {"name": "look"}},
                "parallel_tool_calls": False,
                "include_reasoning": False,
                "reasoning_effort": "low",
                "chat_template_kwargs": {"number": 3, "half": 0.5, "list": [1, {"a": None}]},
                "logprobs": True,
                "top_logprobs": 3,
            },
        ),
        (
            ChatCompletionRequest,
            pb.ChatRequest,
            {"messages": ASKED, "collection": "c", "retrieval": {"k": 2, "mode": "lexical", "filter": FILTER}},
        ),
        (EmbeddingRequest, pb.EmbedRequest, {"input": ["a", "b"], "cache_salt": "s"}),
        (EmbeddingRequest, pb.EmbedRequest, {"input": ["a"], "dimensions": 8, "input_type": "query"}),
        (SearchRequest, pb.SearchRequest, {"query": "", "k": 3, "filter": FILTER, "fusion": "dbsf", "vector": [0.5]}),
        (
            UpsertRequest,
            pb.UpsertRequest,
            {
                "documents": [
                    {"id": "a", "text": "", "metadata": FILTER, "vector": [0.5, -2.0]},
                    {"id": "b", "text": "c"},
                ]
            },
        ),
        (EmbeddingRequest, pb.EmbedRequest, {"input": [[1], [2, 3]]}),
        (TokenizeRequest, pb.TokenizeRequest, {"messages": ASKED, "tools": [TOOL], "add_generation_prompt": False}),
        (TokenizeRequest, pb.TokenizeRequest, {"prompt": "", "return_token_strs": True, "add_special_tokens": False}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_body_survives_the_way_there_and_back(
    kind: type[Body], as_message: type[Message], body: dict[str, Any]
) -> None:
    sent = as_message.FromString(message_of(as_message, body).SerializeToString())
    assert checked(kind, body_of(sent)) == checked(kind, body)


@pytest.mark.parametrize(
    ("kind", "given", "meant"),
    [
        (pb.GenerateRequest, {"prompt": "a"}, {"prompt": ["a"]}),
        (pb.GenerateRequest, {"prompt": [3, 4]}, {"prompt": [[3, 4]]}),
        (pb.GenerateRequest, {"prompt": [], "user": None}, {"prompt": [[]]}),
        (pb.GenerateRequest, {"stop": "x"}, {"stop": ["x"]}),
        (
            pb.ChatRequest,
            {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]}]},
            {"messages": [{"role": "user", "content": "a\nb"}]},
        ),
    ],
)
def test_what_http_writes_in_two_ways_is_sent_in_one(kind: Any, given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert body_of(message_of(kind, given)) == meant


def test_a_schema_keeps_the_order_of_its_names() -> None:
    chat = message_of(pb.ChatRequest, {"tools": [TOOL], "structured_outputs": {"json": SCHEMA}})
    (tool,) = body_of(chat)["tools"]
    for text in (json.dumps(tool["function"]["parameters"]), chat.sampling.structured_outputs.json):
        assert text == json.dumps(SCHEMA)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"temprature": 1}, "There is no field 'temprature' over gRPC. Did you mean 'temperature'?"),
        ({"n": -1}, "n is -1, which cannot be sent"),
        ({"max_tokens": "many"}, "max_tokens is 'many', which cannot be sent"),
        ({"messages": [{"role": "user", "contents": "a"}]}, "messages has no field 'contents' over gRPC"),
        ({"tools": [{"type": "function"}]}, "tools has no field 'function'"),
        ({"stop": 5}, "stop is 5"),
    ],
)
def test_what_cannot_be_sent_is_said(body: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words.replace("?", r"\?").replace("(", r"\(")) as caught:
        message_of(pb.ChatRequest, body)
    assert caught.value.param == next(iter(body))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            pb.GenerateRequest(prompt=["a"], prompt_token_ids=[pb.TokenIds(items=[1])]),
            "Give prompt or prompt_token_ids",
        ),
        (pb.ChatRequest(tool_choice="auto", tool_choice_function="f"), "Give tool_choice or tool_choice_function"),
        (pb.SearchRequest(filter="{"), "filter is no JSON"),
        (pb.ChatRequest(retrieval=pb.Retrieval(filter="{")), "filter of retrieval is no JSON"),
        (pb.UpsertRequest(documents=[pb.Document(metadata="x")]), "metadata of documents.0. is no JSON"),
        (pb.ChatRequest(tools=[pb.Tool(name="f", parameters="{")]), "parameters of a tool is no JSON"),
        (pb.ChatRequest(tools=[pb.Tool(name="f", parameters="[" * 100_000)]), "parameters of a tool is no JSON"),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_read_is_said(message: Message, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        body_of(message)
