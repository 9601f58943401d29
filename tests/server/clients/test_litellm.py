"""litellm, as its users point it at a server of their own: `openai/NAME` and `hosted_vllm/NAME`."""

import asyncio
import json
import os
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the network for prices
import litellm

from tests.patience import wait_until
from tests.server.scripted import CALL_CLOCK, CALL_OSLO, CLOCK, OSLO, WEATHER, ScriptedEngine, scripted
from tests.server.serving import Running

MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Oslo?"},
]
PROVIDERS = ("openai", "hosted_vllm")

# Its own: how it walks over pydantic's models, and a queue of log records that ends with the event loop.
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_", "ignore:coroutine 'Logging")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("litellm")) as pair:
        yield pair


def at(server: Running, provider: str = "openai", model: str = "tiny") -> dict[str, Any]:
    return {
        "model": f"{provider}/{model}",
        "api_base": f"{server.url}/v1",
        "api_key": "any",
        "num_retries": 0,
        "max_retries": 0,
    }


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_chat_whole_and_streamed_with_its_usage(tiny: Running, provider: str) -> None:
    asked = {"messages": MESSAGES, "temperature": 0, "max_tokens": 24, "ignore_eos": True}
    expected = tiny.ask("/v1/chat/completions", asked).json
    text, usage = expected["choices"][0]["message"]["content"], expected["usage"]
    whole = litellm.completion(**at(tiny, provider), **asked)
    assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (text, "length")
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (usage["prompt_tokens"], 24)
    pieces = [*litellm.completion(**at(tiny, provider), **asked, stream=True, stream_options={"include_usage": True})]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == text
    counts = [piece.usage.completion_tokens for piece in pieces if getattr(piece, "usage", None)]
    assert counts == [24]
    assert [p.choices[0].finish_reason for p in pieces if p.choices and p.choices[0].finish_reason] == ["length"]


def test_many_at_once_without_threads(tiny: Running) -> None:
    asked = [
        {**at(tiny), "messages": [{"role": "user", "content": word}], "temperature": 0, "max_tokens": 8}
        for word in ("One", "Two", "Three")
    ]

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(litellm.acompletion(**one) for one in asked))

    together = [answer.choices[0].message.content for answer in asyncio.run(all_at_once())]
    assert together == [litellm.completion(**one).choices[0].message.content for one in asked]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_tools_are_called_whole_and_streamed(said: tuple[Running, ScriptedEngine], provider: str) -> None:
    server, engine = said
    engine.says = [f"I look.\n{CALL_OSLO}\n{CALL_CLOCK}"]
    tools = deepcopy([WEATHER, CLOCK])  # it takes what it knows no use for out of them
    asked = {**at(server, provider), "messages": MESSAGES, "tools": tools, "tool_choice": "auto"}
    message = litellm.completion(**asked).choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls]
    assert (message.content, calls) == ("I look.", [("weather", OSLO), ("clock", "{}")])
    joined = litellm.stream_chunk_builder([*litellm.completion(**asked, stream=True)], messages=MESSAGES)
    found = [(call.function.name, call.function.arguments) for call in joined.choices[0].message.tool_calls]
    assert (found, joined.choices[0].finish_reason) == (calls, "tool_calls")
    engine.says = ["Cold."]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "-3"} for call in message.tool_calls]
    answer = litellm.completion(**{**asked, "messages": [*MESSAGES, message, *results]})
    assert answer.choices[0].message.content == "Cold."
    assert engine.last_prompt.count("<|im_start|>tool\n-3<|im_end|>") == 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_structured_output_has_the_form(tiny: Running, provider: str) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["ok", "n"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    answer = litellm.completion(**at(tiny, provider), messages=MESSAGES, response_format=form, seed=3, max_tokens=200)
    found = json.loads(answer.choices[0].message.content)
    assert found.keys() == {"ok", "n"}
    assert isinstance(found["ok"], bool)


def test_what_we_have_beyond_the_api_goes_through(tiny: Running) -> None:
    asked = {"messages": MESSAGES, "max_tokens": 6, "top_k": 1, "seed": 1, "guided_regex": "[0-9]{4}"}
    answer = litellm.completion(**at(tiny, "hosted_vllm"), **asked)
    assert (
        answer.choices[0].message.content
        == tiny.ask("/v1/chat/completions", asked).json["choices"][0]["message"]["content"]
    )


def test_thoughts_come_apart(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = ["<think>It is north.</think>Cold."]
    message = litellm.completion(**at(server, "hosted_vllm"), messages=MESSAGES).choices[0].message
    assert (message.reasoning_content.strip(), message.content.strip()) == ("It is north.", "Cold.")


def test_plain_completions_and_embeddings(tiny: Running) -> None:
    asked = {"prompt": "The library", "temperature": 0, "max_tokens": 8}
    expected = tiny.ask("/v1/completions", asked).json["choices"][0]["text"]
    assert litellm.text_completion(**at(tiny, "text-completion-openai"), **asked).choices[0].text == expected
    texts = ["One text.", "Another."]
    found = litellm.embedding(**at(tiny), input=texts)
    data = tiny.ask("/v1/embeddings", {"input": texts}).json["data"]
    np.testing.assert_allclose([e["embedding"] for e in found.data], [e["embedding"] for e in data], atol=1e-6)
    assert found.usage.prompt_tokens > 0


def test_the_responses_and_messages_apis_under_the_same_face(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = ["Cold."]
    response = litellm.responses(**at(server), input="What is the weather in Oslo?")
    assert response.output[0].content[0].text == "Cold."
    anthropic = {**at(server, "anthropic"), "api_base": server.url}
    answer = litellm.completion(**anthropic, messages=MESSAGES, max_tokens=50)
    assert answer.choices[0].message.content == "Cold."


def test_errors_have_their_kind(tiny: Running) -> None:
    with pytest.raises(litellm.NotFoundError, match="no model 'gpt-9'"):
        litellm.completion(**at(tiny, model="gpt-9"), messages=MESSAGES)
    with pytest.raises(litellm.BadRequestError, match="temperature"):
        litellm.completion(**at(tiny), messages=MESSAGES, temperature=-1)
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(**at(tiny), messages=[{"role": "user", "content": "long " * 2000}])


def test_a_stream_that_is_left_ends_its_request(tiny: Running) -> None:
    stream = litellm.completion(**at(tiny), messages=MESSAGES, max_tokens=1000, stream=True, ignore_eos=True)
    next(iter(stream))
    stream.completion_stream.close()
    wait_until(lambda: tiny.state.engine.stats().num_running == 0)
