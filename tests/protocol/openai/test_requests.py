"""Bodies in, sampling parameters out; every mistake is answered with the field and what is allowed."""

import json
from typing import Any

import pytest

from quire.errors import InvalidRequestError
from quire.protocol.fields import parse
from quire.protocol.openai import (
    ChatCompletionRequest,
    CompletionRequest,
    EmbeddingRequest,
    TokenizeRequest,
    prompts_of,
    to_sampling_params,
)
from quire.sampling_params import SamplingParams, StructuredOutputs

CHAT = {"messages": [{"role": "user", "content": "x"}]}
TEXT = {"prompt": "x"}


def chat(**fields: Any) -> SamplingParams:
    return to_sampling_params(parse(ChatCompletionRequest, json.dumps({**CHAT, **fields})))


def text(**fields: Any) -> SamplingParams:
    return to_sampling_params(parse(CompletionRequest, json.dumps({**TEXT, **fields})))


def test_defaults_are_the_apis() -> None:
    assert chat() == SamplingParams(max_tokens=None)
    assert text() == SamplingParams(max_tokens=16)


def test_null_is_absent() -> None:
    assert chat(temperature=None, tools=None, stop=None, n=None) == chat()


def test_each_field_goes_where_it_belongs() -> None:
    same = {
        "n": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "presence_penalty": -0.5,
        "frequency_penalty": 0.25,
        "seed": -4,
        "stop": ["a", "b"],
        "stop_token_ids": [5],
        "include_stop_str_in_output": True,
        "ignore_eos": True,
        "min_tokens": 2,
        "bad_words": ["no"],
        "allowed_token_ids": [1, 2],
        "skip_special_tokens": False,
        "prompt_logprobs": 1,
        "priority": -3,
        "slo_ms": 250.5,
    }
    expected = {**same, "logit_bias": {4: -1.5, 10: 2.0}}
    bias = {"4": -1.5, "10": 2}
    assert chat(**same, logit_bias=bias, max_completion_tokens=9) == SamplingParams(**expected, max_tokens=9)
    assert text(**same, logit_bias=bias, max_tokens=9) == SamplingParams(**expected, max_tokens=9)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 5}, 5), ({"logprobs": False}, None)],
)
def test_logprobs_of_chats(fields: dict[str, Any], expected: int | None) -> None:
    assert chat(**fields).logprobs == expected


def test_echo_scores_the_prompt_as_deep_as_the_answer() -> None:
    assert text(echo=True).prompt_logprobs is None
    assert text(echo=True, logprobs=2).prompt_logprobs == 2
    assert text(echo=True, logprobs=2, prompt_logprobs=5).prompt_logprobs == 5
    assert text(echo=True, max_tokens=0).max_tokens == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, StructuredOutputs(json_object=True)),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}},
            StructuredOutputs(json={"type": "object"}),
        ),
        ({"guided_json": {"type": "null"}}, StructuredOutputs(json={"type": "null"})),
        ({"guided_json": '{"type": "null"}'}, StructuredOutputs(json='{"type": "null"}')),
        ({"guided_regex": "a+"}, StructuredOutputs(regex="a+")),
        ({"guided_choice": ["a", "b"]}, StructuredOutputs(choice=("a", "b"))),
        ({"guided_grammar": 'start: "a"'}, StructuredOutputs(grammar='start: "a"')),
        ({"structured_outputs": {"json": {"type": "null"}}}, StructuredOutputs(json={"type": "null"})),
        ({"structured_outputs": {"regex": "a"}}, StructuredOutputs(regex="a")),
    ],
)
def test_every_way_to_ask_for_a_form(fields: dict[str, Any], expected: StructuredOutputs | None) -> None:
    assert chat(**fields).structured_outputs == text(**fields).structured_outputs == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("a", ["a"]), (["a", "b"], ["a", "b"]), ([1, 2], [[1, 2]]), ([[1], [2]], [[1], [2]]), ([], [[]])],
)
def test_prompts_of_every_shape(given: Any, expected: Any) -> None:
    assert prompts_of(given) == expected


REFUSED: list[tuple[Any, str, str | None]] = [
    (ChatCompletionRequest, {**CHAT, "temprature": 1}, "There is no field 'temprature'. Did you mean 'temperature'?"),
    (ChatCompletionRequest, {**CHAT, "temperature": "hot"}, "temperature is 'hot'; input should be a valid number."),
    (ChatCompletionRequest, {**CHAT, "temperature": True}, "temperature is True;"),
    (ChatCompletionRequest, {**CHAT, "temperature": 101}, "temperature is 101;"),
    (ChatCompletionRequest, {**CHAT, "n": 0}, "n is 0; input should be greater than or equal to 1."),
    (ChatCompletionRequest, {**CHAT, "n": 1.5}, "n is 1.5;"),
    (ChatCompletionRequest, {**CHAT, "n": "1"}, "n is '1';"),
    (ChatCompletionRequest, {**CHAT, "top_p": 0}, "top_p is 0;"),
    (ChatCompletionRequest, {**CHAT, "seed": 1 << 70}, "seed is"),
    (ChatCompletionRequest, {**CHAT, "stop": ["ok", ""]}, "stop[1] is ''; allowed: a string of 1 to"),
    (ChatCompletionRequest, {**CHAT, "structured_outputs": {"json": 5}}, "structured_outputs.json is 5; input should"),
    (ChatCompletionRequest, {**CHAT, "structured_outputs": {"jsn": {}}}, "structured_outputs: There is no field 'jsn'"),
    (ChatCompletionRequest, {**CHAT, "response_format": {}}, "response_format.type is missing."),
    (ChatCompletionRequest, {**CHAT, "tool_choice": {"type": "x"}}, "tool_choice.type is 'x'; allowed: 'none', "),
    (ChatCompletionRequest, {**CHAT, "functions": []}, "functions is not supported here: send tools"),
    (ChatCompletionRequest, {**CHAT, "top_logprobs": 2}, "top_logprobs needs logprobs to be true."),
    (ChatCompletionRequest, {**CHAT, "max_tokens": 2, "max_completion_tokens": 3}, "give one of them"),
    (ChatCompletionRequest, {**CHAT, "logit_bias": {"x": 1}}, "logit_bias has the key 'x'; allowed: token ids."),
    (ChatCompletionRequest, {**CHAT, "stream_options": {"include_usage": True}}, "stream_options needs stream"),
    (ChatCompletionRequest, {**CHAT, "stream": True, "prompt_logprobs": 1}, "not streamed"),
    (ChatCompletionRequest, {**CHAT, "guided_regex": "a", "guided_json": {}}, "each ask for a form"),
    (ChatCompletionRequest, {**CHAT, "structured_outputs": {"regex": "a", "grammar": "b"}}, "exactly one of"),
    (ChatCompletionRequest, {**CHAT, "response_format": {"type": "json_schema"}}, "json_schema comes with type"),
    (ChatCompletionRequest, {**CHAT, "response_format": {"type": "xml"}}, "response_format.type is 'xml';"),
    (ChatCompletionRequest, {}, "messages is missing."),
    (ChatCompletionRequest, {"messages": []}, "messages is [];"),
    (ChatCompletionRequest, {"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role is 'bot'"),
    (ChatCompletionRequest, {"messages": [{"role": "user"}]}, "content is missing."),
    (
        ChatCompletionRequest,
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        "messages[0].content: A part of content has the type 'image_url'; allowed: 'text'",
    ),
    (
        ChatCompletionRequest,
        {"messages": [{"role": "user", "content": 5}]},
        "messages[0].content is 5; input should be a valid string or a valid array.",
    ),
    (
        ChatCompletionRequest,
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": 5}]}]},
        "messages[0].content[1].text is 5; input should be a valid string.",
    ),
    (ChatCompletionRequest, [], "The body is []; allowed: a JSON object."),
    (CompletionRequest, {"prompt": {"a": 1}}, "prompt is {'a': 1}; allowed: text, a list of token ids"),
    (CompletionRequest, {"prompt": [-1]}, "prompt[0] is -1; allowed: text, a list"),
    (CompletionRequest, {"prompt": [1, 2, "a"]}, "prompt[2] is 'a'; allowed: text, a list"),
    (CompletionRequest, {**TEXT, "max_tokens": 0}, "max_tokens is 0, which leaves nothing to answer"),
    (CompletionRequest, {**TEXT, "suffix": "y"}, "suffix is not supported here: text is made left to right."),
    (EmbeddingRequest, {"input": "x", "truncate_prompt_tokens": 5}, "send the part of the text that counts"),
    (EmbeddingRequest, {"input": "x", "priority": 1}, "texts to be embedded are served as they come"),
    (TokenizeRequest, {"prompt": "x", "chat_template": "y"}, "chat_template has no meaning with prompt"),
    (TokenizeRequest, {**CHAT, "add_special_tokens": False}, "add_special_tokens has no meaning with messages"),
    (TokenizeRequest, {"prompt": "x", "messages": CHAT["messages"]}, "Give prompt or messages"),
]


@pytest.mark.parametrize(("kind", "body", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused_says_why(kind: Any, body: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        to_sampling_params(parse(kind, json.dumps(body)))
    assert message in str(caught.value)
    param = caught.value.param
    if isinstance(body, dict) and param is not None:
        assert param.partition("[")[0].partition(".")[0] in {*body, "messages", "structured_outputs", "prompt"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff", "The body is not JSON"),
        (b'{"prompt": "\xff"}', "The body is not JSON: invalid unicode"),
        (b'{"prompt": "\\ud800"}', "The body is not JSON"),
        (b"[" * 100_000, "The body is not JSON: recursion limit exceeded"),
        (b'{"prompt": "x", "guided_json": ' + b'{"a":' * 500 + b"1" + b"}" * 501, "recursion limit"),
        (b'{"prompt": "x", "n": ' + b"9" * 5000 + b"}", "The body is not JSON: number out of range"),
        (b'{"prompt": "x", "temperature": NaN}', "temperature is nan; input should be a finite number"),
        (b'{"prompt": "x", "temperature": 1e999}', "temperature is inf; input should be a finite number"),
        (b"", "The body is not JSON"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_json_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        parse(CompletionRequest, body)
