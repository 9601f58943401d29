"""The Anthropic API as its own client meets it: whole and streamed are the same, and what was asked is done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from quire.sequence import FinishReason
from tests.server.scripted import CALL_CLOCK, CALL_OSLO, OSLO, WEATHER, ScriptedEngine, scripted
from tests.server.serving import Running

SCHEMA = WEATHER["function"]["parameters"]
TOOLS: Any = [
    {"name": "weather", "description": "The weather of a city.", "input_schema": SCHEMA},
    {"name": "clock", "input_schema": {"type": "object"}},
]
SAYS = f"<think>\nHm. <b>\n</think>\n\nI look.\n{CALL_OSLO}\n{CALL_CLOCK}"
PLAIN: Any = {"model": "tiny", "max_tokens": 50, "messages": [{"role": "user", "content": "Oslo?"}]}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("messages")) as pair:
        yield pair


@pytest.fixture
def client(said: tuple[Running, ScriptedEngine]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=said[0].url, api_key="any", max_retries=0) as client:
        yield client


def shown(message: Any) -> Any:
    """Blocks as dicts, but for ids, which are made anew each time."""
    found = [block.model_dump(exclude_none=True) for block in message.content]
    ids = [block.pop("id") for block in found if block["type"] == "tool_use"]
    assert len({*ids}) == len(ids)
    return found


@pytest.mark.parametrize("num_chars", [1, 5, 1000])
def test_whole_and_streamed_are_the_same(
    said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic, num_chars: int
) -> None:
    said[1].says, said[1].num_chars = [SAYS], num_chars
    whole = client.messages.create(**PLAIN, tools=TOOLS)
    assert shown(whole) == [
        {"type": "thinking", "thinking": "Hm. <b>", "signature": ""},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "name": "weather", "input": json.loads(OSLO)},
        {"type": "tool_use", "name": "clock", "input": {}},
    ]
    assert whole.stop_reason == "tool_use"
    with client.messages.stream(**PLAIN, tools=TOOLS) as stream:
        final = stream.get_final_message()
    assert (shown(final), final.stop_reason, final.model) == (shown(whole), "tool_use", "tiny")
    num_prompt = len(said[1].asked[-1].token_ids)
    for usage in (whole.usage, final.usage):
        assert usage.input_tokens + (usage.cache_read_input_tokens or 0) == num_prompt
        assert usage.output_tokens >= 1
    counted = client.messages.count_tokens(model="tiny", messages=PLAIN["messages"], tools=TOOLS)
    assert counted.input_tokens == num_prompt


def test_what_a_stream_opens_it_fills_and_closes(
    said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic
) -> None:
    said[1].says, said[1].num_chars = ["Yes."], 2
    assert [event.type for event in client.messages.create(**PLAIN, stream=True)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_blocks_become_the_prompt(said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic) -> None:
    said[1].says = ["Cold."]
    kept: Any = {"cache_control": {"type": "ephemeral"}}
    messages: Any = [
        {"role": "user", "content": [{"type": "text", "text": "Oslo?"}, {"type": "text", "text": "Now."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Well.", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": json.loads(OSLO)},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such city", "is_error": True},
                {"type": "text", "text": "So?", **kept},
            ],
        },
    ]
    asked = {**PLAIN, "messages": messages, "system": [{"type": "text", "text": "Be brief.", **kept}]}
    answer = client.messages.create(**asked, tools=TOOLS)
    assert (shown(answer), answer.stop_reason) == ([{"type": "text", "text": "Cold."}], "end_turn")
    call = f'<tool_call>\n{{"name": "weather", "arguments": {OSLO}}}\n</tool_call>'
    assert said[1].last_prompt.partition("to call.<|im_end|>\n")[2] == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOslo?\nNow.<|im_end|>\n"
        f"<|im_start|>assistant <think>Well.</think>\nI look.{call}<|im_end|>\n"
        "<|im_start|>tool\nError: no such city<|im_end|>\n<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_why_it_ended(said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic) -> None:
    _, engine = said
    engine.says, engine.stop_reason = ["Yes"], "."
    try:
        answer = client.messages.create(**PLAIN, stop_sequences=["."])
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", ".")
        assert engine.asked[-1].params.stop == ["."]
        engine.finish_reason, engine.stop_reason = FinishReason.LENGTH, None
        assert client.messages.create(**PLAIN).stop_reason == "max_tokens"
        engine.says = [CALL_OSLO[:60]]
        cut = client.messages.create(**PLAIN, tools=TOOLS)
        assert (shown(cut), cut.stop_reason) == ([{"type": "text", "text": CALL_OSLO[:60]}], "max_tokens")
    finally:
        engine.finish_reason, engine.stop_reason = FinishReason.STOP, None


def test_thoughts_can_be_off_or_left_out(said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic) -> None:
    said[1].says = ["<think>Hm.</think>Yes."]
    assert shown(client.messages.create(**PLAIN, thinking={"type": "adaptive", "display": "omitted"})) == [
        {"type": "text", "text": "Yes."}
    ]
    client.messages.create(**PLAIN, thinking={"type": "disabled"})
    assert said[1].last_prompt.endswith("<think>\n\n</think>\n\n")


@pytest.mark.parametrize(
    ("choice", "is_held"),
    [
        ({"type": "auto"}, False),
        ({"type": "any"}, True),
        ({"type": "tool", "name": "clock", "disable_parallel_tool_use": True}, True),
        ({"type": "none"}, False),
    ],
)
def test_choices_of_tools(
    said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic, choice: Any, is_held: bool
) -> None:
    said[1].says = [f"{CALL_OSLO}\n{CALL_CLOCK}"]
    answer = client.messages.create(**PLAIN, tools=TOOLS, tool_choice=choice)
    num_calls = {"none": 0, "tool": 1}.get(choice["type"], 2)
    assert [block.type for block in answer.content].count("tool_use") == num_calls
    assert (said[1].asked[-1].grammar is not None) == is_held
    assert ('"weather"' in said[1].last_prompt) == (choice["type"] != "none")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "counts thoughts and answer together"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "allowed: 'custom'"),
        ({"messages": [{"role": "assistant", "content": "I"}]}, "not continued"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "reads and writes text"),
        ({"messages": [{"role": "user", "content": [{"type": "thinking", "thinking": "x"}]}]}, "no place"),
        ({"tools": TOOLS[:1] * 2}, "twice"),
        ({"container": "c"}, "runs no code"),
        ({"extra_body": {"top_kk": 3}}, "Did you mean 'top_k'"),
        ({"max_tokens": 0}, "max_tokens is 0"),
    ],
)
def test_what_cannot_be_done_is_refused(client: anthropic.Anthropic, more: dict[str, Any], words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=words) as caught:
        client.messages.create(**{**PLAIN, **more})
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert body["request_id"]


def test_keys_and_names_are_refused_in_the_apis_words(tmp_path: Path) -> None:
    with scripted(tmp_path, "Yes.", api_key=("right",)) as (server, _):
        for key in ("wrong", "right"):
            with anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0) as client:
                if key == "right":
                    assert client.messages.create(**PLAIN).content
                    with pytest.raises(anthropic.NotFoundError, match="'other'"):
                        client.messages.create(**{**PLAIN, "model": "other"})
                    continue
                with pytest.raises(anthropic.AuthenticationError) as caught:
                    client.messages.create(**PLAIN)
                assert caught.value.body["error"]["type"] == "authentication_error"  # type: ignore[index]


def test_a_stream_that_fails_raises_in_the_client(tmp_path: Path) -> None:
    with scripted(tmp_path, "x" * 50) as (server, engine):
        engine.fails_after = 2
        with (
            anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client,
            pytest.raises(anthropic.APIStatusError, match="The server failed"),
        ):
            list(client.messages.create(**PLAIN, stream=True))


def test_a_form_is_held_to(said: tuple[Running, ScriptedEngine], client: anthropic.Anthropic) -> None:
    said[1].says = ['{"city": "Oslo"}']
    form: Any = {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert shown(client.messages.create(**PLAIN, output_config=form))[0]["text"] == '{"city": "Oslo"}'
    assert said[1].asked[-1].grammar is not None
