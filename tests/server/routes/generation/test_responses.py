"""The Responses API as its own client meets it: whole and streamed are the same, and what was asked is done."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from quire.sequence import FinishReason
from quire.server.render.token_texts import TokenTexts
from tests.server.scripted import CALL_CLOCK, CALL_OSLO, OSLO, WEATHER, ScriptedEngine, scripted
from tests.server.serving import Running

TOOLS: Any = [{"type": "function", **WEATHER["function"], "strict": False}, {"type": "function", "name": "clock"}]
TOOLS[1]["strict"] = False
SAYS = f"<think>\nHm. <b>\n</think>\n\nI look.\n{CALL_OSLO}\n{CALL_CLOCK}"


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("responses")) as pair:
        yield pair


@pytest.fixture
def client(said: tuple[Running, ScriptedEngine]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{said[0].url}/v1", api_key="any", max_retries=0) as client:
        yield client


def without_ids(items: Any) -> Any:
    """Items as dicts, but for what is made anew each time."""
    found = [item.model_dump(exclude_none=True) for item in items]
    for item in found:
        assert item.pop("id").startswith({"reasoning": "rs_", "message": "msg_", "function_call": "fc_"}[item["type"]])
        item.pop("call_id", None)
        item.pop("parsed_arguments", None)
        for part in item.get("content", []):
            part.pop("parsed", None)
    return found


@pytest.mark.parametrize("num_chars", [1, 5, 1000])
def test_whole_and_streamed_are_the_same(
    said: tuple[Running, ScriptedEngine], client: openai.OpenAI, num_chars: int
) -> None:
    said[1].says, said[1].num_chars = [SAYS], num_chars
    asked: Any = {"model": "tiny", "input": "The weather in Oslo?", "tools": TOOLS}
    whole = client.responses.create(**asked)
    text = {"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}
    assert without_ids(whole.output) == [
        {
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "Hm. <b>"}],
        },
        {"type": "message", "role": "assistant", "status": "completed", "content": [text]},
        {"type": "function_call", "status": "completed", "name": "weather", "arguments": OSLO},
        {"type": "function_call", "status": "completed", "name": "clock", "arguments": "{}"},
    ]
    assert (whole.status, whole.output_text, whole.incomplete_details) == ("completed", "I look.", None)
    with client.responses.stream(**asked) as stream:
        events = [*stream]
        final = stream.get_final_response()
    assert without_ids(final.output) == without_ids(whole.output)
    assert final.usage is not None
    assert final.usage.input_tokens == len(said[1].asked[-1].token_ids)
    assert [event.sequence_number for event in events] == [*range(len(events))]
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    snapshots = [event.snapshot for event in events if event.type == "response.function_call_arguments.delta"]
    assert snapshots[-1] == "{}"
    assert OSLO in snapshots


def test_what_a_stream_opens_it_fills_and_closes(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    said[1].says, said[1].num_chars = ["Yes."], 2
    stream = client.responses.create(model="tiny", input="?", stream=True)
    assert [event.type.removeprefix("response.") for event in stream] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_usage_tells_the_tokens_of_thoughts(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    """Counted one token after the other: those whose text begins before the closing mark."""
    _, engine = said
    says = "<think>one two</think>three"
    ids = engine.tokenizer.encode(says, add_special_tokens=False)
    begins = [len(engine.tokenizer.decode(ids[:number], skip_special_tokens=False)) for number in range(len(ids))]
    expected = sum(begin < says.index("</think>") for begin in begins)
    for num_chars in (3, 1000):
        engine.says, engine.num_chars = [says], num_chars
        usage = client.responses.create(model="tiny", input="?").usage
        assert usage is not None
        assert usage.output_tokens_details.reasoning_tokens == expected
        assert usage.output_tokens == len(ids)
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert TokenTexts(engine.tokenizer).decode(ids) == says


def test_instructions_items_and_results_become_the_prompt(
    said: tuple[Running, ScriptedEngine], client: openai.OpenAI
) -> None:
    said[1].says = ["Cold."]
    items: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Oslo?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Well."}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": OSLO},
        {"type": "function_call_output", "call_id": "call_1", "output": "-3"},
        {"role": "user", "content": "So?"},
    ]
    client.responses.create(model="tiny", instructions="Be brief.", input=items, tools=TOOLS)
    prompt = said[1].last_prompt
    assert json.dumps(WEATHER["function"]["parameters"]) in prompt
    _, _, conversation = prompt.partition("to call.<|im_end|>\n")
    call = f'<tool_call>\n{{"name": "weather", "arguments": {OSLO}}}\n</tool_call>'
    assert conversation == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nOslo?<|im_end|>\n"
        f"<|im_start|>assistant <think>Well.</think>\n{call}<|im_end|>\n"
        "<|im_start|>tool\n-3<|im_end|>\n<|im_start|>user\nSo?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_answer_can_be_sent_back(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    said[1].says = [SAYS]
    first = client.responses.create(model="tiny", input="Oslo?", tools=TOOLS)
    items: Any = [
        {"role": "user", "content": "Oslo?"},
        *(item.model_dump(exclude_none=True) for item in first.output),
        *({"type": "function_call_output", "call_id": item.call_id, "output": "-3"} for item in first.output[2:]),
    ]
    client.responses.create(model="tiny", input=items, tools=TOOLS)
    assert "<think>Hm. <b></think>\nI look.<tool_call>" in said[1].last_prompt


def test_an_answer_that_is_cut_off_says_so(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    _, engine = said
    engine.says, engine.finish_reason = ["So it"], FinishReason.LENGTH
    try:
        whole = client.responses.create(model="tiny", input="?", max_output_tokens=2)
        *_, last = client.responses.create(model="tiny", input="?", max_output_tokens=2, stream=True)
        for response in (whole, last.response):
            assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
            assert response.output[0].status == "incomplete"
        assert last.type == "response.incomplete"
    finally:
        engine.finish_reason = FinishReason.STOP


def test_allowed_tools_are_all_the_model_sees(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    said[1].says = ["No."]
    allowed: Any = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "clock"}]}
    response = client.responses.create(model="tiny", input="?", tools=TOOLS, tool_choice=allowed)
    assert '"clock"' in said[1].last_prompt
    assert '"weather"' not in said[1].last_prompt
    assert [tool.name for tool in response.tools] == ["weather", "clock"]  # type: ignore[union-attr]


def test_what_was_asked_comes_back(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    asked: Any = {"metadata": {"a": "b"}, "temperature": 0.5, "max_output_tokens": 9, "user": "me", "instructions": "x"}
    said[1].says = ["No."]
    response = client.responses.create(model="tiny", input="?", **asked).model_dump()
    assert {name: response[name] for name in asked} == asked
    params = said[1].asked[-1].params
    assert (params.temperature, params.max_tokens) == (0.5, 9)


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id", "keeps nothing"),
        ({"conversation": "conv_1"}, "conversation", "keeps nothing"),
        ({"store": True}, "store", "keeps nothing"),
        ({"background": True}, "background", "cannot be had"),
        ({"include": ["message.output_text.logprobs"]}, "include", "cannot be had"),
        ({"truncation": "auto"}, "truncation", "Send the part"),
        ({"top_logprobs": 2}, "top_logprobs", "/v1/chat/completions"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary", "in full"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "'function'"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "pattern"),
        ({"tool_choice": "always"}, "tool_choice", "'required'"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type", "keeps nothing"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type", "text"),
        ({"input": [{"role": "bob", "content": "x"}]}, "input[0].role", "'bob'"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id", "missing"),
        ({"input": []}, "input", "at least 1"),
        ({"text": {"format": {"type": "json_schema"}}}, "text.format.type", "schema"),
        ({"extra_body": {"temprature": 1}}, "temprature", "Did you mean 'temperature'"),
    ],
)
def test_what_cannot_be_done_is_refused(client: openai.OpenAI, more: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words) as caught:
        client.responses.create(**{"model": "tiny", "input": "x", **more})
    assert caught.value.param == param


class Weather(BaseModel):
    city: str
    degrees: int


def test_a_form_is_parsed_by_the_client(said: tuple[Running, ScriptedEngine], client: openai.OpenAI) -> None:
    said[1].says = ['{"city": "Oslo", "degrees": -3}']
    response = client.responses.parse(model="tiny", input="?", text_format=Weather)
    assert response.output_parsed == Weather(city="Oslo", degrees=-3)
    assert said[1].asked[-1].grammar is not None


def test_a_stream_that_fails_says_so_in_its_last_event(tmp_path: Path) -> None:
    with scripted(tmp_path, "x" * 50) as (server, engine):
        engine.fails_after = 2
        reply = server.ask("/v1/responses", {"input": "?", "stream": True})
        *_, event, end = reply.body.decode().split("\n\n")
        name, _, data = event.partition("\ndata: ")
        assert (name, end) == ("event: error", "")
        assert json.loads(data)["message"].startswith("The server failed")
