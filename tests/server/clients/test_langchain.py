"""langchain-openai, as its users point it at a server of their own."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import openai
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.patience import wait_until
from tests.server.scripted import CALL_CLOCK, CALL_OSLO, OSLO, ScriptedEngine, scripted
from tests.server.serving import Running

ASKED = [SystemMessage("Be brief."), HumanMessage("What is the weather in Oslo?")]


class Flag(BaseModel):
    ok: bool
    n: int


@tool
def weather(city: str, days: int) -> str:
    """The weather of a city."""
    return f"{city} {days}"


@tool
def clock() -> str:
    """The time."""
    return "noon"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("langchain")) as pair:
        yield pair


def chat(server: Running, **more: Any) -> ChatOpenAI:
    given: Any = {"base_url": f"{server.url}/v1", "api_key": "any", "model": "tiny", "max_retries": 0, **more}
    return ChatOpenAI(**given)


def test_a_chat_whole_and_streamed_with_its_usage(tiny: Running) -> None:
    model = chat(tiny, temperature=0, max_tokens=24, extra_body={"ignore_eos": True}, stream_usage=True)
    whole = model.invoke(ASKED)
    body = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED[1].content}]}
    body |= {"temperature": 0, "max_tokens": 24, "ignore_eos": True}
    expected = tiny.ask("/v1/chat/completions", body).json
    assert whole.content == expected["choices"][0]["message"]["content"]
    assert whole.response_metadata["finish_reason"] == "length"
    assert whole.usage_metadata is not None
    counted = [whole.usage_metadata[name] for name in ("input_tokens", "output_tokens")]
    assert counted == [expected["usage"][name] for name in ("prompt_tokens", "completion_tokens")]
    pieces = [*model.stream(ASKED)]
    assert len(pieces) > 3
    assert "".join(str(piece.content) for piece in pieces) == whole.content
    assert [p.usage_metadata["output_tokens"] for p in pieces if p.usage_metadata] == [24]


def test_many_at_once_come_back_in_their_order(tiny: Running) -> None:
    model = chat(tiny, temperature=0, max_tokens=8)
    alone = [model.invoke(text).content for text in ("One", "Two", "Three")]
    assert [answer.content for answer in model.batch(["One", "Two", "Three"])] == alone


def test_log_probabilities_and_stop(tiny: Running) -> None:
    model = chat(tiny, temperature=0, max_tokens=8, logprobs=True, top_logprobs=2)
    answer = model.invoke(ASKED)
    entries = answer.response_metadata["logprobs"]["content"]
    assert [len(entry["top_logprobs"]) for entry in entries] == [2] * len(entries)
    letter = str(answer.content)[2]
    stopped = model.invoke(ASKED, stop=[letter])
    assert str(answer.content).startswith(str(stopped.content))
    assert letter not in str(stopped.content)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_structured_output_by_each_of_its_methods(said: tuple[Running, ScriptedEngine], method: Any) -> None:
    server, engine = said
    answer = '{"ok": true, "n": 3}'
    engine.says = [
        f'<tool_call>{{"name": "Flag", "arguments": {answer}}}</tool_call>' if method == "function_calling" else answer
    ]
    model = chat(server).with_structured_output(Flag, method=method)
    assert model.invoke("Answer in JSON.") == Flag(ok=True, n=3)
    held = engine.asked[-1].params.structured_outputs
    assert held is not None


def test_structured_output_of_a_model_that_does_not_want_to(tiny: Running) -> None:
    class Digit(BaseModel):
        digit: int
        is_odd: bool

    model = chat(tiny, seed=3, max_tokens=200).with_structured_output(Digit, include_raw=True)
    said = model.invoke("A digit.")
    assert isinstance(said, dict)
    assert set(json.loads(said["raw"].content)) == {"digit", "is_odd"}


def test_tools_are_called_whole_and_streamed(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [f"I look.\n{CALL_OSLO}\n{CALL_CLOCK}"]
    model = chat(server).bind_tools([weather, clock])
    answer = model.invoke(ASKED)
    calls = [(call["name"], call["args"]) for call in answer.tool_calls]
    assert (answer.content, calls) == ("I look.", [("weather", json.loads(OSLO)), ("clock", {})])
    joined = AIMessageChunk("")
    for piece in model.stream(ASKED):
        joined += piece  # type: ignore[operator]
    assert [(call["name"], call["args"]) for call in joined.tool_calls] == calls
    assert joined.invalid_tool_calls == []


def test_a_conversation_with_a_tool_goes_round(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [CALL_OSLO]
    model = chat(server).bind_tools([weather], tool_choice="auto")
    answer = model.invoke(ASKED)
    result = weather.invoke(answer.tool_calls[0])
    assert isinstance(result, ToolMessage)
    engine.says = ["Cold."]
    assert model.invoke([*ASKED, answer, result]).content == "Cold."
    assert "<|im_start|>tool\nOslo 2<|im_end|>" in engine.last_prompt
    assert '"name": "weather", "arguments": {"city": "Oslo", "days": 2}' in engine.last_prompt


@pytest.mark.parametrize("choice", ["any", "weather", "none", True])
def test_every_choice_of_tools_is_understood(said: tuple[Running, ScriptedEngine], choice: Any) -> None:
    server, engine = said
    engine.says = ["No." if choice == "none" else CALL_OSLO]
    answer = chat(server).bind_tools([weather], tool_choice=choice, strict=True).invoke(ASKED)
    assert isinstance(answer, AIMessage)
    assert [call["name"] for call in answer.tool_calls] == ([] if choice == "none" else ["weather"])


def test_the_responses_api_under_the_same_face(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [CALL_OSLO]
    model = chat(server, use_responses_api=True, store=False).bind_tools([weather])
    answer = model.invoke(ASKED)
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", json.loads(OSLO))]
    result = weather.invoke(answer.tool_calls[0])
    engine.says = ["Cold."]
    last = model.invoke([*ASKED, answer, result])
    assert last.text == "Cold."
    assert "".join(piece.text for piece in model.stream(ASKED)) == "Cold."


def test_plain_completions(tiny: Running) -> None:
    given: Any = {"base_url": f"{tiny.url}/v1", "api_key": "any", "model": "tiny", "max_retries": 0}
    model = OpenAI(**given, temperature=0, max_tokens=8, extra_body={"ignore_eos": True})
    body = {"prompt": "The library", "temperature": 0, "max_tokens": 8, "ignore_eos": True}
    expected = tiny.ask("/v1/completions", body).json["choices"][0]["text"]
    assert model.invoke("The library") == expected
    assert "".join(model.stream("The library")) == expected
    assert [row[0].text for row in model.generate(["The library", "The library"]).generations] == [expected] * 2


def test_embeddings_of_queries_and_documents(tiny: Running) -> None:
    given: Any = {"base_url": f"{tiny.url}/v1", "api_key": "any", "model": "tiny", "max_retries": 0}
    embeddings = OpenAIEmbeddings(**given, check_embedding_ctx_length=False)  # else it sends OpenAI's token ids
    texts = ["One text.", "Another."]
    data = tiny.ask("/v1/embeddings", {"input": texts}).json["data"]
    np.testing.assert_allclose(embeddings.embed_documents(texts), [one["embedding"] for one in data], atol=1e-6)
    np.testing.assert_allclose(embeddings.embed_query(texts[0]), data[0]["embedding"], atol=1e-6)


def test_errors_are_those_of_the_client_below(tiny: Running) -> None:
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-9'"):
        chat(tiny, model="gpt-9").invoke("Hi")
    with pytest.raises(openai.BadRequestError, match="temperature"):
        chat(tiny, temperature=-1).invoke("Hi")
    with pytest.raises(ContextOverflowError):
        chat(tiny).invoke("long " * 2000)


def test_a_stream_that_is_left_ends_its_request(tiny: Running) -> None:
    model = chat(tiny, temperature=0, max_tokens=1000, extra_body={"ignore_eos": True})

    async def first_piece() -> None:
        async with aclosing(model.astream(ASKED)) as pieces:  # type: ignore[type-var]
            await anext(pieces)

    asyncio.run(first_piece())
    wait_until(lambda: tiny.state.engine.stats().num_running == 0)
