"""Thoughts told apart from the answer, and what a template may be given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.server.state import ServedModel
from tests.server.scripted import HERMES_TEMPLATE, ScriptedEngine, scripted
from tests.server.serving import Running, running

CHAT = "/v1/chat/completions"
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
SAYS = "<think>\nHm. <b>\n</think>\n\nYes. "


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("thinks"), SAYS, trust_request_chat_template=True) as pair:
        yield pair


def whole(server: Running, **more: Any) -> tuple[str | None, str]:
    message = server.ask(CHAT, {**ASKED, **more}).json["choices"][0]["message"]
    return message.get("reasoning_content"), message["content"]


def streamed(server: Running, **more: Any) -> tuple[str | None, str]:
    deltas = [event["choices"][0]["delta"] for event in server.events(CHAT, {**ASKED, **more})]
    thoughts = [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta]
    return "".join(thoughts) or None, "".join(delta.get("content", "") for delta in deltas)


@pytest.mark.parametrize("num_chars", [1, 5, 100])
def test_thoughts_whole_and_streamed(said: tuple[Running, ScriptedEngine], num_chars: int) -> None:
    server, said[1].num_chars = said[0], num_chars
    assert whole(server) == streamed(server) == ("Hm. <b>", "Yes. ")
    assert whole(server, include_reasoning=False) == streamed(server, include_reasoning=False) == (None, "Yes. ")


def test_thinking_can_be_turned_off(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    for more in ({"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_effort": "none"}):
        whole(server, **more)
        assert engine.last_prompt.endswith("<think>\n\n</think>\n\n")
    for more in ({"chat_template_kwargs": {"enable_thinking": True}}, {"reasoning_effort": "high"}, {}):
        whole(server, **more)
        assert engine.last_prompt.endswith("assistant\n")


def test_a_prompt_may_open_the_thoughts(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = ["Hm.</think>Yes."]
    try:
        for template, expected in (("<think>\n", ("Hm.", "Yes.")), ("</think>", (None, "Hm.</think>Yes."))):
            assert whole(server, chat_template="{{ messages[0].content }}" + template) == expected
    finally:
        engine.says = [SAYS]


def test_thoughts_of_before_are_shown_to_the_template(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    before = {"role": "assistant", "content": "No.", "reasoning_content": "Well."}
    whole(server, messages=[*ASKED["messages"], before, *ASKED["messages"]])
    assert "<think>Well.</think>\nNo." in engine.last_prompt


def test_parsers_by_name(tmp_path: Path) -> None:
    with scripted(tmp_path / "none", SAYS, reasoning_parser="none") as (server, _):
        assert whole(server) == (None, SAYS)
        reply = server.ask(CHAT, {**ASKED, "chat_template": "{{ messages }}"})  # which nothing has said to trust
        assert (reply.status, reply.error["param"]) == (400, "chat_template")
    with scripted(tmp_path / "open", "Hm.</think>Yes.", reasoning_parser="deepseek_r1") as (server, _):
        assert whole(server) == streamed(server) == ("Hm.", "Yes.")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"chat_template_kwargs": {"enable_thinkin": True}}, "Did you mean 'enable_thinking'?"),
        ({"chat_template": "{{ messages }}", "reasoning_effort": "low"}, "knows no such thing"),
        ({"store": True}, "keeps nothing"),
    ],
)
def test_what_would_be_ignored_is_refused(
    said: tuple[Running, ScriptedEngine], more: dict[str, Any], words: str
) -> None:
    reply = said[0].ask(CHAT, {**ASKED, **more})
    assert reply.status == 400
    assert words in reply.error["message"]


def test_a_form_is_held_to_behind_the_thoughts(model_path: Path) -> None:
    """A random model never ends its thoughts by itself: it may think first, and what it then says has the form."""
    config = EngineConfig(num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20)
    model = ServedModel(("tiny",), chat_template=HERMES_TEMPLATE)
    with running(assemble(model_path, config), model) as server:
        form = {"guided_choice": ["yes", "no"], "max_tokens": 40}
        off = {"chat_template_kwargs": {"enable_thinking": False}}
        for seed in range(3):
            assert whole(server, **form, **off, seed=seed)[1] in ("yes", "no")
            thoughts, answer = whole(server, **form, seed=seed)
            assert answer in ("yes", "no") or (thoughts and not answer)
