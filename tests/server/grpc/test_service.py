"""Calls of a real gRPC client to a running server, judged by what HTTP and the library say."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import quire
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol._generated.quire_pb2_grpc import QuireStub
from quire.protocol.protobuf import as_dict
from quire.protocol.rpc_bodies import message_of
from tests.patience import wait_until
from tests.server.scripted import CALL_OSLO, OSLO, WEATHER, scripted
from tests.server.serving import Running, running

QUESTION = [{"role": "user", "content": "hello world"}]
GREEDY = pb.Sampling(temperature=0, return_token_ids=True)


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    config = EngineConfig(num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20)
    with running(assemble(model_path, config), grpc_port=0, trust_request_chat_template=True) as server:
        yield server


@pytest.fixture(scope="module")
def stub(server: Running) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{server.state.grpc_port}") as channel:
        yield QuireStub(channel)


def as_chat(fields: dict[str, Any]) -> pb.ChatRequest:
    messages = [pb.ChatMessage(**message) for message in QUESTION]
    return pb.ChatRequest(messages=messages, **fields)


def test_a_chat_says_what_http_says_event_by_event(server: Running, stub: Any) -> None:
    events = [*stub.Chat(as_chat({"max_tokens": 8, "sampling": GREEDY, "model": "alias"}))]
    body = {"messages": QUESTION, "max_tokens": 8, "temperature": 0, "return_token_ids": True, "model": "alias"}
    told = server.events("/v1/chat/completions", {**body, "stream_options": {"include_usage": True}})
    assert [as_dict(choice.delta) for event in events for choice in event.choices] == [
        choice["delta"] for event in told for choice in event["choices"]
    ]
    assert [[*choice.token_ids] for event in events for choice in event.choices] == [
        choice.get("token_ids", []) for event in told for choice in event["choices"]
    ]
    assert {event.model for event in events} == {"alias"}
    assert [event.HasField("usage") for event in events] == [False] * (len(events) - 1) + [True]
    assert events[-1].usage.completion_tokens == told[-1]["usage"]["completion_tokens"] == 8
    assert events[-2].choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("sampling", "more"),
    [
        ({"temperature": 0}, {}),
        ({"seed": 3, "n": 3, "top_p": 0.9, "top_k": 20}, {}),
        ({"temperature": 0, "logit_bias": {"5": -100}}, {"logprobs": 2, "echo": True}),
        ({"seed": 1, "structured_outputs": {"regex": "[ab]{3}"}}, {}),
        ({"seed": 1, "stop_token_ids": [7], "ignore_eos": True, "allowed_token_ids": [5, 6, 7]}, {"max_tokens": 30}),
    ],
    ids=["greedy", "choices", "scores", "form", "stops"],
)
def test_completions_say_what_http_says(
    server: Running, stub: Any, sampling: dict[str, Any], more: dict[str, Any]
) -> None:
    prompts = ["hello world", "one two three"]
    events = [*stub.Generate(pb.GenerateRequest(prompt=prompts, sampling=pb.Sampling(**sampling), **more))]
    whole = server.ask("/v1/completions", {"prompt": prompts, **sampling, **more}).json["choices"]
    for expected in whole:
        mine = [choice for event in events for choice in event.choices if choice.index == expected["index"]]
        assert "".join(choice.text for choice in mine) == expected["text"]
        assert mine[-1].finish_reason == expected["finish_reason"]
        assert mine[-1].stop_reason == str(expected["stop_reason"] or "")
        if expected["logprobs"] is not None:
            scores = [score for choice in mine for score in as_dict(choice)["logprobs"]["token_logprobs"]]
            assert scores[0] is None
            assert scores[1:] == pytest.approx(expected["logprobs"]["token_logprobs"][1:], abs=1e-4)


def test_chat_logprobs_have_the_bytes_of_their_tokens(server: Running, stub: Any) -> None:
    asked = {"max_tokens": 4, "logprobs": True, "top_logprobs": 2, "sampling": GREEDY}
    events = [*stub.Chat(as_chat(asked))]
    body = {"messages": QUESTION, "max_tokens": 4, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    (expected,) = server.ask("/v1/chat/completions", body).json["choices"]
    scores = [score for event in events for choice in event.choices for score in choice.logprobs.content]
    told = expected["logprobs"]["content"]
    assert [([*score.bytes], score.token) for score in scores] == [(score["bytes"], score["token"]) for score in told]
    assert all(len(score.top_logprobs) == 2 for score in scores)


def test_token_ids_stand_for_text(stub: Any) -> None:
    token_ids = stub.Tokenize(pb.TokenizeRequest(prompt="hello world")).tokens
    as_text = pb.GenerateRequest(prompt=["hello world"], sampling=GREEDY)
    as_ids = pb.GenerateRequest(prompt_token_ids=[pb.TokenIds(items=token_ids)], sampling=GREEDY)
    said, said_of_ids = (
        "".join(choice.text for event in stub.Generate(asked) for choice in event.choices)
        for asked in (as_text, as_ids)
    )
    assert said == said_of_ids != ""


def test_tokens_and_back(server: Running, stub: Any) -> None:
    found = stub.Tokenize(pb.TokenizeRequest(prompt="hello world", return_token_strs=True))
    assert as_dict(found) == server.ask("/tokenize", {"prompt": "hello world", "return_token_strs": True}).json
    assert stub.Detokenize(pb.DetokenizeRequest(tokens=found.tokens)).prompt.endswith("hello world")
    assert stub.Detokenize(pb.DetokenizeRequest()).prompt == ""
    chat = stub.Tokenize(pb.TokenizeRequest(messages=[pb.ChatMessage(**QUESTION[0])]))
    assert [*chat.tokens] == server.ask("/tokenize", {"messages": QUESTION}).json["tokens"]


def test_a_template_takes_numbers_and_lists(stub: Any) -> None:
    request = pb.TokenizeRequest(
        messages=[pb.ChatMessage(**QUESTION[0])], chat_template="{{ count + 1 }} {{ words[1] }}"
    )
    request.chat_template_kwargs.update({"count": 2, "words": ["a", "b"]})
    tokens = stub.Tokenize(request).tokens
    assert stub.Detokenize(pb.DetokenizeRequest(tokens=tokens)).prompt == "3 b"


def test_embeddings_are_those_of_http(server: Running, stub: Any) -> None:
    texts = ["hello world", "one"]
    found = stub.Embed(pb.EmbedRequest(input=texts))
    expected = server.ask("/v1/embeddings", {"input": texts}).json
    for mine, theirs in zip(found.data, expected["data"], strict=True):
        assert mine.index == theirs["index"]
        np.testing.assert_allclose(mine.embedding, theirs["embedding"], atol=1e-6)
    assert found.usage.prompt_tokens == expected["usage"]["prompt_tokens"]


def test_the_model_by_each_of_its_names(server: Running, stub: Any) -> None:
    info = stub.ModelInfo(pb.ModelInfoRequest())
    assert (info.version, [model.id for model in info.data]) == (quire.__version__, ["tiny", "alias"])
    (model,) = server.ask("/v1/models").json["data"][1:]
    assert as_dict(stub.ModelInfo(pb.ModelInfoRequest(model="alias")).data[0]) == {
        name: value for name, value in model.items() if name not in ("object", "parent")
    }


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (pb.GenerateRequest(prompt=["a"], model="none"), "NOT_FOUND", "There is no model 'none' here"),
        (pb.GenerateRequest(), "INVALID_ARGUMENT", "prompt is missing"),
        (pb.GenerateRequest(prompt=["a"], max_tokens=0), "INVALID_ARGUMENT", "max_tokens is 0"),
        (pb.GenerateRequest(prompt=["a"], sampling=pb.Sampling(top_p=2)), "INVALID_ARGUMENT", "top_p is 2.0"),
        (
            pb.GenerateRequest(prompt=["a"], prompt_token_ids=[pb.TokenIds(items=[1])]),
            "INVALID_ARGUMENT",
            "one of them",
        ),
        (pb.GenerateRequest(prompt_token_ids=[pb.TokenIds()]), "INVALID_ARGUMENT", "The prompt is empty"),
        (pb.GenerateRequest(prompt_token_ids=[pb.TokenIds(items=[1 << 20])]), "INVALID_ARGUMENT", "has 1048576"),
        (pb.GenerateRequest(prompt=["a " * 5000]), "INVALID_ARGUMENT", "tokens; allowed: at most"),
        (
            pb.GenerateRequest(prompt=["a"], sampling=pb.Sampling(logit_bias={"x": 1})),
            "INVALID_ARGUMENT",
            "logit_bias has the key 'x'",
        ),
        (pb.ChatRequest(), "INVALID_ARGUMENT", "messages is missing"),
        (pb.ChatRequest(messages=[pb.ChatMessage(role="x", content="a")]), "INVALID_ARGUMENT", "messages[0].role"),
        (pb.TokenizeRequest(), "INVALID_ARGUMENT", "Give prompt or messages"),
        (pb.EmbedRequest(), "INVALID_ARGUMENT", "input is missing"),
        (pb.ModelInfoRequest(model="none"), "NOT_FOUND", "There is no model 'none'"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_mistake_has_the_code_and_the_words(stub: Any, request_: Any, code: str, words: str) -> None:
    call = getattr(stub, type(request_).__name__.removesuffix("Request"))
    with pytest.raises(grpc.RpcError) as caught:
        [*answer] if isinstance(answer := call(request_), Iterator) else answer
    assert (caught.value.code().name, words in caught.value.details()) == (code, True), caught.value.details()


def test_the_field_at_fault_is_in_the_metadata(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.Generate(pb.GenerateRequest(prompt=["a"], sampling=pb.Sampling(top_p=2))))
    assert dict(caught.value.trailing_metadata())["quire-param"] == "top_p"


def test_the_json_schema_of_a_form_is_text(stub: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    form = pb.StructuredOutputs(json=json.dumps(schema))
    sampling = pb.Sampling(seed=1, structured_outputs=form)
    events = stub.Chat(as_chat({"max_tokens": 60, "sampling": sampling}))
    text = "".join(choice.delta.content for event in events for choice in event.choices)
    assert json.loads(text)["a"] in (1, 2)


def test_thoughts_and_calls_stream_as_over_http(tmp_path: Path) -> None:
    with scripted(tmp_path, grpc_port=0) as (server, engine):
        engine.says, engine.num_chars = [f"<think>Hm.</think>I look.\n{CALL_OSLO}"], 4
        body = {"messages": [*QUESTION], "tools": [WEATHER], "include_reasoning": True}
        wait_until(lambda: server.state.grpc_port is not None)
        with grpc.insecure_channel(f"127.0.0.1:{server.state.grpc_port}") as channel:
            events = [*QuireStub(channel).Chat(message_of(pb.ChatRequest, body))]
        told = server.events("/v1/chat/completions", body)
    mine = [as_dict(choice.delta) for event in events for choice in event.choices]
    theirs = [choice["delta"] for event in told for choice in event["choices"]]
    assert [without_ids(delta) for delta in mine] == [without_ids(delta) for delta in theirs]
    assert "".join(delta.get("reasoning_content", "") for delta in mine) == "Hm."
    calls = [call["function"] for delta in mine for call in delta.get("tool_calls", ())]
    assert (calls[0]["name"], "".join(call["arguments"] for call in calls)) == ("weather", OSLO)
    assert events[-2].choices[0].finish_reason == "tool_calls"


def without_ids(delta: dict[str, Any]) -> dict[str, Any]:
    calls = [{name: call[name] for name in ("index", "function")} for call in delta.get("tool_calls", ())]
    return {**delta, "tool_calls": calls}
