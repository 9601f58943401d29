"""A conversation through stdin: what the model is asked each time, and what is printed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quire import Collection
from quire.cli.app import app
from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.errors import InvalidRequestError
from quire.rag.answerer import AnswerStream
from quire.rag.prompt import GroundedPrompt
from quire.sampling_params import SamplingParams
from tests.rag.chunks import CAEN, ORNE
from tests.server.scripted import scripted


class FakeLLM:
    """Answers with the number of messages and the last of them; also the factory of itself."""

    def __init__(self) -> None:
        self.collections: list[str] = []
        self.asked: list[list[dict[str, str]]] = []
        self.params: list[SamplingParams] = []
        self.tokenizer = self

    def __call__(self, model: str | None, **_: Any) -> "FakeLLM":
        return self

    def __enter__(self) -> "FakeLLM":
        return self

    def __exit__(self, *_: object) -> None: ...

    def apply_chat_template(self, messages: Sequence[dict[str, str]]) -> Any:
        return messages

    def stream(self, messages: list[dict[str, str]], params: SamplingParams) -> Iterator[RequestOutput]:
        if messages[-1]["content"] == "bad":
            raise InvalidRequestError("That is too long.")
        self.asked.append(messages)
        self.params.append(params)
        for piece in (f"{len(messages)}: ", messages[-1]["content"][::-1]):
            yield RequestOutput("id", None, [1], [CompletionOutput(0, piece, [1])])

    def stream_answer(
        self, messages: list[dict[str, str]], *, collection: str, sampling_params: SamplingParams
    ) -> AnswerStream:
        self.asked.append(messages)
        self.collections.append(collection)
        self.params.append(sampling_params)
        prompt = GroundedPrompt(messages, {}, [ORNE, CAEN], [])
        return AnswerStream(prompt, lambda _: iter(["It lies ", "there [", "2]."]), {"retrieve_s": 0, "prompt_s": 0})


def run(*arguments: str, stdin: str) -> tuple[Any, FakeLLM]:
    llm = FakeLLM()
    result = CliRunner().invoke(app, ["chat", *arguments], obj=llm, input=stdin)
    return result, llm


def test_a_conversation_goes_on_until_it_is_reset() -> None:
    result, llm = run("--system", "Be kind.", "--temperature", "0", stdin="abc\n\ndef\n/reset\nghi\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["2: cba", "4: fed", "2: ihg"]
    assert [message["role"] for message in llm.asked[1]] == ["system", "user", "assistant", "user"]
    assert llm.asked[1][2]["content"] == "2: cba"
    assert (llm.params[0].temperature, llm.params[0].max_tokens) == (0, None)


def test_help_and_quit() -> None:
    result, llm = run(stdin="/help\n/what\n/quit\nabc\n")
    assert llm.asked == []
    assert result.stdout.count("/reset") == 2


@pytest.fixture
def rivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUIRE_HOME", str(tmp_path))
    path = tmp_path / "collections" / "rivers"
    with Collection.open("rivers", embedder=None) as collection:
        collection.add([{"id": "orne", "text": ORNE.text}, {"id": "caen", "text": CAEN.text}])
    return path


@pytest.mark.usefixtures("rivers")
def test_answers_come_from_a_collection_until_it_is_off() -> None:
    stdin = "one\n/collection nothing\n/collection rivers\ntwo\n/collection\n/collection off\nthree\n"
    result, llm = run("--top-k", "7", stdin=stdin)
    assert result.stdout.splitlines() == [
        "1: eno",
        "Answers are from rivers.",
        "It lies there [2].",
        "[2] towns.md",
        f"    {CAEN.text}",
        "Answers are from rivers.",
        "The model answers alone.",
        "5: eerht",
    ]
    assert "nothing" in result.stderr
    assert llm.collections == ["rivers"]
    assert [message["content"] for message in llm.asked[2]] == ["one", "1: eno", "two", "It lies there [2].", "three"]
    assert [(params.temperature, params.top_k) for params in llm.params] == [(1.0, 7), (0.0, 7), (1.0, 7)]


@pytest.mark.usefixtures("rivers")
def test_a_collection_is_there_before_anything_is_asked() -> None:
    result, llm = run("--collection", "rivers", "--temperature", "0.5", stdin="two\n")
    assert (llm.collections, llm.params[0].temperature) == (["rivers"], 0.5)
    result, llm = run("--collection", "lakes", stdin="two\n")
    assert (result.exit_code, llm.asked, "lakes" in result.stderr) == (2, [], True)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_server_answers_from_its_collection(rivers: Path, tmp_path: Path, scheme: str) -> None:
    stdin = "/collection lakes\n/collection rivers\nWhen was the Orne mapped?\n"
    with scripted(tmp_path, "In 1843 [1].", collection=(str(rivers),), grpc_port=0) as (server, engine):
        url = server.url if scheme == "http" else f"grpc://127.0.0.1:{server.state.grpc_port}"
        result, _ = run("--base-url", url, stdin=stdin)
    assert "'lakes'" in result.stderr
    assert result.stdout.splitlines() == ["Answers are from rivers.", "In 1843 [1].", "[1] orne", f"    {ORNE.text}"]
    assert ORNE.text in engine.last_prompt


def test_a_question_that_fails_is_taken_back() -> None:
    result, llm = run(stdin="bad\nabc\n")
    assert (result.exit_code, llm.asked[0]) == (0, [{"role": "user", "content": "abc"}])
    assert "error: That is too long." in result.stderr


def test_with_a_server_that_runs(tmp_path: Any) -> None:
    with scripted(tmp_path, "Hello there.") as (server, engine):
        arguments = ("--base-url", server.url, "--max-tokens", "40")
        result, _ = run(*arguments, stdin="Hi\nAgain\n")
        assert result.stdout.splitlines() == ["Hello there.", "Hello there."], result.output
        assert "Hello there." in engine.last_prompt
        refused, _ = run("--base-url", server.url, "--max-num-seqs", "4", stdin="Hi\n")
    assert (refused.exit_code, "leave it out" in refused.stderr) == (2, True)
