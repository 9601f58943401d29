"""Tools in chats, as the API's own client meets them: a scripted model calls, a random one is held to the form."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.errors import ConfigError
from quire.sequence import FinishReason
from quire.server.state import ServedModel
from tests.server.scripted import (
    CALL_CLOCK,
    CALL_OSLO,
    CLOCK,
    HERMES_TEMPLATE,
    LLAMA_TEMPLATE,
    OSLO,
    WEATHER,
    ScriptedEngine,
    scripted,
)
from tests.server.serving import Running, running

USER: Any = [{"role": "user", "content": "What is the weather in Oslo?"}]
TOOLS: Any = [WEATHER, CLOCK]
BOTH = f"I look.\n{CALL_OSLO}\n{CALL_CLOCK}"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("hermes"), trust_request_chat_template=True) as pair:
        yield pair


def ask(server: Running, **more: Any) -> Any:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        answer = client.chat.completions.create(model="tiny", **{"messages": USER, "tools": TOOLS, **more})
        return [*answer] if more.get("stream") else answer


def streamed(server: Running, **more: Any) -> tuple[str, list[tuple[str, str]], str]:
    """Text, calls and the reason of the end, put together as clients do."""
    text, reason, calls = "", "", {}
    for chunk in ask(server, stream=True, **more):
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        reason = choice.finish_reason or reason
        for call in choice.delta.tool_calls or []:
            known = calls.setdefault(call.index, {"id": call.id, "name": call.function.name, "arguments": ""})
            known["arguments"] += call.function.arguments
    assert len({call["id"] for call in calls.values()}) == len(calls)
    return text, [(call["name"], call["arguments"]) for call in calls.values()], reason


@pytest.mark.parametrize("num_chars", [1, 4, 1000])
def test_calls_whole_and_streamed(said: tuple[Running, ScriptedEngine], num_chars: int) -> None:
    server, engine = said
    engine.says, engine.num_chars = [BOTH], num_chars
    whole = ask(server).choices[0]
    assert whole.message.content == "I look."
    calls = [(call.function.name, call.function.arguments) for call in whole.message.tool_calls]
    assert calls == [("weather", OSLO), ("clock", "{}")]
    assert whole.finish_reason == "tool_calls"
    assert streamed(server) == ("I look.", calls, "tool_calls")


def test_arguments_come_in_pieces(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says, engine.num_chars = [CALL_OSLO], 4
    deltas = [call for chunk in ask(server, stream=True) for call in chunk.choices[0].delta.tool_calls or []]
    assert deltas[0].function.name == "weather"
    assert [delta.id is None for delta in deltas[1:]] == [True] * (len(deltas) - 1)
    assert len(deltas) > 4
    assert "".join(delta.function.arguments for delta in deltas) == OSLO


def test_the_model_sees_tools_calls_and_results(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = ["Cold."]
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": OSLO}}
    messages = [
        *USER,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "-3"},
    ]
    answer = ask(server, messages=messages).choices[0]
    assert (answer.message.content, answer.message.tool_calls, answer.finish_reason) == ("Cold.", None, "stop")
    assert json.dumps(WEATHER["function"]) in engine.last_prompt
    assert f'<tool_call>\n{{"name": "weather", "arguments": {OSLO}}}\n</tool_call>' in engine.last_prompt
    assert "<|im_start|>tool\n-3<|im_end|>" in engine.last_prompt


def test_none_calls_nothing_and_shows_nothing(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [BOTH]
    answer = ask(server, tool_choice="none").choices[0]
    assert (answer.message.content, answer.message.tool_calls, answer.finish_reason) == (BOTH, None, "stop")
    assert "weather" not in engine.last_prompt.partition("assistant")[0].replace("the weather in", "")


def test_at_most_one_call_where_none_may_be_parallel(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [BOTH]
    calls = [("weather", OSLO)]
    whole = ask(server, parallel_tool_calls=False).choices[0].message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in whole] == calls
    assert streamed(server, parallel_tool_calls=False) == ("I look.", calls, "tool_calls")


def test_what_is_no_call_is_text(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    for text in ('<tool_call>{"name": oops}</tool_call>', "A < b", "<tool_call>"):
        engine.says = [text]
        assert ask(server).choices[0].message.content == text
        assert streamed(server) == (text, [], "stop")


def test_a_call_that_breaks_off_is_text_when_whole_and_stands_when_streamed(
    said: tuple[Running, ScriptedEngine],
) -> None:
    server, engine = said
    engine.says, engine.finish_reason = [CALL_OSLO[:60]], FinishReason.LENGTH
    try:
        answer = ask(server).choices[0]
        assert (answer.message.content, answer.message.tool_calls) == (CALL_OSLO[:60], None)
        assert answer.finish_reason == "length"
        text, ((name, arguments),), reason = streamed(server)
        assert (text, name, reason) == ("", "weather", "length")
        assert OSLO.startswith(arguments)
    finally:
        engine.finish_reason = FinishReason.STOP


def test_several_choices_keep_their_calls_apart(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [CALL_OSLO, "No."]
    choices = ask(server, n=2).choices
    assert [choice.finish_reason for choice in choices] == ["tool_calls", "stop"]
    reasons: dict[int, str] = {}
    for chunk in ask(server, n=2, stream=True):
        for choice in chunk.choices:
            assert not (choice.index == 1 and choice.delta.tool_calls)
            if choice.finish_reason:
                reasons[choice.index] = choice.finish_reason
    assert reasons == {0: "tool_calls", 1: "stop"}


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"tool_choice": {"type": "function", "function": {"name": "wether"}}}, "tool_choice", "mean 'weather'"),
        ({"tools": [CLOCK, CLOCK]}, "tools", "twice"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "needs tools"),
        ({"tool_choice": "always"}, "tool_choice", "'required'"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "pattern"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id", "missing"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, "messages[0].tool_calls", "'assistant'"),
        ({"messages": [{"role": "assistant"}]}, "messages[0].content", "missing"),
        ({"extra_body": {"chat_template": "{{ messages }}"}}, "tools", "shows no tools"),
        ({"extra_body": {"chat_template": "{{ tools }}"}}, "tools", "--tool-call-parser"),
    ],
)
def test_what_makes_no_sense_is_refused(
    said: tuple[Running, ScriptedEngine], more: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        ask(said[0], **more)
    assert caught.value.param == param


def test_llamas_form(tmp_path: Path) -> None:
    text = f'{{"name": "weather", "parameters": {OSLO}}}; {{"name": "clock", "parameters": {{}}}}'
    calls = [("weather", OSLO), ("clock", "{}")]
    with scripted(tmp_path, text, template=LLAMA_TEMPLATE) as (server, engine):
        assert streamed(server) == ("", calls, "tool_calls")
        engine.says = ['{"answer": 1}']
        assert ask(server).choices[0].message.content == '{"answer": 1}'


def test_a_parser_that_is_named_goes_before_what_the_template_shows(tmp_path: Path) -> None:
    text = f'{{"name": "weather", "parameters": {OSLO}}}'
    with scripted(tmp_path, text, tool_call_parser="llama3_json") as (server, _):
        assert streamed(server)[1] == [("weather", OSLO)]


def test_a_server_that_must_call_tools_does_not_start_without_knowing_how(tmp_path: Path) -> None:
    with scripted(tmp_path / "knows", enable_auto_tool_choice=True) as (server, _):
        assert server.ask("/ready").status == 200
    with scripted(tmp_path / "not", enable_auto_tool_choice=True, tool_call_parser="none") as (server, _):
        assert isinstance(server.state.error, ConfigError)
        assert "tool_call_parser" in str(server.state.error)


# ── a random model, held to the form ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module", params=["hermes", "llama3_json"])
def held(model_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    template = HERMES_TEMPLATE if request.param == "hermes" else LLAMA_TEMPLATE
    config = EngineConfig(num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20)
    with running(
        assemble(model_path, config), ServedModel(("tiny",), chat_template=template), reasoning_parser="none"
    ) as server:
        yield server


@pytest.mark.parametrize("seed", [1, 2])
def test_required_and_named_calls_have_the_form(held: Running, seed: int) -> None:
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        more = {"tool_choice": choice, "parallel_tool_calls": False, "seed": seed, "max_tokens": 300}
        answer = ask(held, **more, tools=[WEATHER]).choices[0]
        (call,) = answer.message.tool_calls
        arguments = json.loads(call.function.arguments)
        assert call.function.name == "weather"
        assert arguments["city"] in ("Oslo", "Rome")
        assert arguments.keys() <= {"city", "days"}
        assert answer.finish_reason == "tool_calls"
        assert streamed(held, **more, tools=[WEATHER])[1] == [("weather", call.function.arguments)]


def test_a_form_for_the_text_leaves_calls_possible(held: Running) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": ["yes", "no"]}}}
    for seed in range(4):
        answer = ask(
            held, tools=[WEATHER], response_format=form, parallel_tool_calls=False, seed=seed, max_tokens=300
        ).choices[0]
        assert answer.message.tool_calls or answer.message.content.strip() in ('"yes"', '"no"'), answer


def test_a_schema_that_cannot_be_held_to_is_refused(held: Running) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "nothing"}}}
    with pytest.raises(openai.BadRequestError, match="does not compile"):
        ask(held, tools=[tool], tool_choice="required")
