"""Answers that stand on a collection: what the model is shown, and how its marks come back, whole and streamed."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire import Collection
from quire.errors import ConfigError, InvalidRequestError
from quire.models.embedded import EMBEDDED_MODEL
from quire.server.retrieval.collections import Collections
from quire.server.retrieval.retrieval import NUM_ASKING_THREADS
from quire.server.settings import ServerSettings
from quire.server.state import ServedModel, ServerState
from tests.patience import wait_until
from tests.rag.chunks import CAEN, ORNE, VIRE
from tests.server.scripted import CALL_CLOCK, CLOCK, ScriptedEngine, scripted
from tests.server.serving import Running

CHAT = "/v1/chat/completions"
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": "When was the Orne mapped?"}],
    "collection": "rivers",
    "retrieval": {"k": 2},
}
SAYS = "<think>\nsee [1] </think>\n\nin 1843 [1], or [7] so [2]"


@pytest.fixture(scope="module")
def rivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quire") / "rivers"
    with Collection.open(path, embedder=None) as collection:
        texts = {"orne": ORNE.text, "vire": VIRE.text, "caen": CAEN.text}
        collection.add([{"id": i, "text": t, "metadata": {"is_town": i == "caen"}} for i, t in texts.items()])
    return path


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory, rivers: Path) -> Iterator[tuple[Running, ScriptedEngine]]:
    with scripted(tmp_path_factory.mktemp("cites"), SAYS, collection=(str(rivers),)) as pair:
        yield pair


@pytest.mark.parametrize("num_chars", [1, 4, 100])
def test_marks_lead_to_passages_whole_and_streamed(said: tuple[Running, ScriptedEngine], num_chars: int) -> None:
    server, said[1].num_chars = said[0], num_chars
    message = server.ask(CHAT, ASKED).json["choices"][0]["message"]
    assert message["content"] == "in 1843 [1], or so [2]"
    assert message["reasoning_content"] == "see [1]"
    assert [(c["number"], c["document_id"], c["text"]) for c in message["citations"]] == [
        (1, "orne", ORNE.text),
        (2, "caen", CAEN.text),
    ]
    for cited in message["citations"]:
        assert message["content"][cited["start"] : cited["end"]] == f"[{cited['number']}]"
    deltas = [event["choices"][0]["delta"] for event in server.events(CHAT, ASKED)]
    assert "".join(delta.get("content", "") for delta in deltas) == message["content"]
    assert [cited for delta in deltas for cited in delta.get("citations", [])] == message["citations"]


def test_the_model_is_shown_what_a_search_finds(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    server.ask(CHAT, ASKED)
    assert f"[1] {ORNE.text}\n\n[2] {CAEN.text}" in engine.last_prompt
    assert VIRE.text not in engine.last_prompt
    server.ask(CHAT, {**ASKED, "retrieval": {"filter": {"is_town": True}, "mode": "lexical"}})
    assert f"[1] {CAEN.text}" in engine.last_prompt
    assert "[2]" not in engine.last_prompt
    server.ask(CHAT, {**ASKED, "retrieval": {"max_prompt_tokens": 10}})
    assert "[1] The" not in engine.last_prompt
    server.ask(CHAT, {"messages": ASKED["messages"]})
    assert ORNE.text not in engine.last_prompt


def test_chats_that_wait_for_a_collection_keep_no_other_chat_waiting(said: tuple[Running, ScriptedEngine]) -> None:
    server, _ = said
    reader = server.state.retrieval.collections.named("rivers").reader
    before = num_searches(server)
    chats = [threading.Thread(target=server.ask, args=(CHAT, ASKED)) for _ in range(36)]  # more than to_thread has
    with reader._store._gate.exclusive():  # as while a change is brought in
        for chat in chats:
            chat.start()
        wait_until(lambda: num_searches(server) >= before + NUM_ASKING_THREADS)
        assert server.ask(CHAT, {"messages": ASKED["messages"]}).status == 200
    for chat in chats:
        chat.join()
    assert num_searches(server) == before + len(chats)


def num_searches(server: Running) -> int:
    lines = server.ask("/metrics").body.decode().splitlines()
    return int(float(next(line.split()[1] for line in lines if line.startswith("quire:collection_searches_total"))))


def test_an_answer_from_passages_is_greedy_unless_told_otherwise(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    for more, expected in (({}, 0.0), ({"temperature": 0.5}, 0.5), ({"temperature": 1.0}, 1.0)):
        server.ask(CHAT, {**ASKED, **more})
        assert engine.asked[-1].params.temperature == expected


def test_the_template_is_told_what_the_request_says(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    server.ask(CHAT, {**ASKED, "tools": [CLOCK]})
    assert '"clock"' in engine.last_prompt
    assert ORNE.text in engine.last_prompt
    assert engine.last_prompt.endswith("<think>\n\n</think>\n\n")
    server.ask(CHAT, {**ASKED, "chat_template_kwargs": {"enable_thinking": True}})
    assert engine.last_prompt.endswith("assistant\n")


def test_an_answer_may_cite_and_call(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = [f"it was [1]{CALL_CLOCK}"]
    try:
        message = server.ask(CHAT, {**ASKED, "tools": [CLOCK]}).json["choices"][0]["message"]
    finally:
        engine.says = [SAYS]
    assert (message["content"], len(message["citations"]), len(message["tool_calls"])) == ("it was [1]", 1, 1)


def test_the_result_of_a_tool_is_no_new_question(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    call = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    called = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "It is noon in Vire."},
    ]
    reply = server.ask(CHAT, {**ASKED, "messages": [*ASKED["messages"], *called], "tools": [CLOCK]})
    assert reply.status == 200
    assert f"[1] {ORNE.text}\n\n[2] {CAEN.text}" in engine.last_prompt
    assert engine.last_prompt.index(ORNE.text) < engine.last_prompt.index("It is noon in Vire.")


def test_an_answer_without_marks_has_no_citations(said: tuple[Running, ScriptedEngine]) -> None:
    server, engine = said
    engine.says = ["No."]
    try:
        assert server.ask(CHAT, ASKED).json["choices"][0]["message"]["citations"] == []
        assert "citations" not in server.ask(CHAT, {"messages": ASKED["messages"]}).json["choices"][0]["message"]
    finally:
        engine.says = [SAYS]


@pytest.mark.parametrize(
    ("more", "status", "words"),
    [
        ({"collection": "towns"}, 404, "allowed: 'rivers'"),
        ({"collection": None}, 400, "retrieval needs a collection"),
        ({"retrieval": {"k": 0}}, 400, "retrieval.k"),
        ({"retrieval": {"mode": "dense"}}, 400, "no vectors"),
        ({"retrieval": {"filter": {"is_town": {"$near": 1}}}}, 400, "$near"),
        ({"messages": [{"role": "assistant", "content": "Hi."}]}, 400, "a user's question"),
    ],
)
def test_mistakes_are_named(
    said: tuple[Running, ScriptedEngine], more: dict[str, Any], status: int, words: str
) -> None:
    answer = said[0].ask(CHAT, {**ASKED, **more})
    assert answer.status == status
    assert words in answer.json["error"]["message"]


def test_a_collection_that_is_not_there_is_refused_at_the_start(tmp_path: Path, rivers: Path) -> None:
    model = ServedModel((EMBEDDED_MODEL.name,))
    with pytest.raises(InvalidRequestError, match="nothing"):
        ServerState(model, ServerSettings(collection=(str(tmp_path / "nothing"),)))
    with pytest.raises(ConfigError, match="twice"):
        Collections([str(rivers), f"{rivers}/"])
    served = Collections([str(rivers)], str(tmp_path))
    assert served.names() == ["rivers"]
    asyncio.run(served.close())
