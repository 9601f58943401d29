"""A conversation through stdin: what the model is asked each time, and what is printed."""

from collections.abc import Iterator, Sequence
from typing import Any

from typer.testing import CliRunner

from quire.cli.app import app
from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.errors import InvalidRequestError
from quire.sampling_params import SamplingParams
from tests.server.scripted import scripted


class FakeLLM:
    """Answers with the number of messages and the last of them; also the factory of itself."""

    def __init__(self) -> None:
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
