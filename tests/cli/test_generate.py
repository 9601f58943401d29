"""With a fake model that answers by turning the prompt round: what is asked of it, and what is printed."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from quire.cli.app import app
from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.errors import ModelLoadError
from quire.sampling_params import SamplingParams


@dataclass
class FakeLLM:
    """Also the factory of itself: calling it with a model and knobs notes them down."""

    asked: list[tuple[str, SamplingParams]] = field(default_factory=list)
    model: str | None = None
    knobs: dict[str, Any] = field(default_factory=dict)
    is_closed: bool = False

    def __call__(self, model: str | None, *, show_progress: bool, **knobs: Any) -> "FakeLLM":
        if model == "bad":
            raise ModelLoadError("'bad' is\nno model.")
        self.model, self.knobs = model, knobs
        return self

    def __enter__(self) -> "FakeLLM":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True

    @property
    def tokenizer(self) -> "FakeLLM":
        return self

    def apply_chat_template(self, messages: Sequence[dict[str, str]]) -> str:
        return f"{self.knobs.get('chat_template', '?')}({messages[0]['role']}: {messages[0]['content']})"

    def generate(self, prompts: Sequence[str], params: SamplingParams, *, use_tqdm: bool) -> Iterator[RequestOutput]:
        for prompt in prompts:
            self.asked.append((prompt, params))
            completions = [CompletionOutput(i, prompt[::-1], [i]) for i in range(params.n)]
            yield RequestOutput("id", prompt, [1, 2], completions, is_finished=True)


def run(*arguments: str, stdin: str | None = None) -> tuple[str, FakeLLM]:
    llm = FakeLLM()
    result = CliRunner().invoke(app, ["generate", *arguments], obj=llm, input=stdin)
    assert result.exit_code == 0, result.output
    assert llm.is_closed
    return result.stdout, llm


def test_each_argument_is_a_prompt() -> None:
    out, llm = run("abc", "de f")
    assert out == "cba\nf ed\n"
    assert [prompt for prompt, _ in llm.asked] == ["abc", "de f"]


def test_stdin_is_the_prompt_when_there_is_no_other() -> None:
    assert run(stdin="one\ntwo")[0] == "owt\neno\n"
    assert run("abc", stdin="unread")[0] == "cba\n"


def test_files_and_the_dash(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("größe", encoding="utf-8")
    assert run("a", "--file", str(path), "--file", "-", stdin="xy")[0] == "a\neßörg\nyx\n"


def test_flags_reach_the_sampling_parameters_and_the_engine() -> None:
    _, llm = run("a", "--temperature", "0", "--n", "2", "--model", "m", "--max-num-seqs", "4", "--engine-seed", "9")
    assert llm.asked == [("a", SamplingParams(temperature=0.0, n=2))]
    assert (llm.model, llm.knobs) == ("m", {"max_num_seqs": 4, "seed": 9})


def test_chat_puts_the_template_of_the_model_or_of_the_flag_round_each_prompt() -> None:
    assert [prompt for prompt, _ in run("hello", "there", "--chat")[1].asked] == ["?(user: hello)", "?(user: there)"]
    assert run("hello", "--chat", "--chat-template", "T")[1].asked[0][0] == "T(user: hello)"


def test_json_is_one_object_per_prompt_without_what_is_absent() -> None:
    out, _ = run("ab", "c", "--json", "--n", "2")
    first, second = (json.loads(line) for line in out.splitlines())
    assert first == {
        "request_id": "id",
        "prompt": "ab",
        "prompt_token_ids": [1, 2],
        "outputs": [{"index": 0, "text": "ba", "token_ids": [0]}, {"index": 1, "text": "ba", "token_ids": [1]}],
        "is_finished": True,
    }
    assert second["prompt"] == "c"


def test_the_model_we_carry_answers_alike_in_text_and_json() -> None:
    line = ["generate", "Once upon a time", "--temperature", "0", "--max-tokens", "4"]
    text = CliRunner().invoke(app, line)
    (found,) = json.loads(CliRunner().invoke(app, [*line, "--json", "--logprobs", "1"]).stdout)["outputs"]
    assert text.stdout == found["text"] + "\n"
    assert len(found["token_ids"]) == len(found["logprobs"]) == 4
    assert found["finish_reason"] == "length"


def test_an_empty_prompt_is_refused_in_one_line() -> None:
    result = CliRunner().invoke(app, ["--log-level", "error", "generate", ""])
    assert result.exit_code == 2
    assert "error: The prompt is empty" in result.stderr


@pytest.mark.parametrize("model", ["bad"])
def test_an_error_of_the_model_is_one_line(model: str) -> None:
    result = CliRunner().invoke(app, ["generate", "a", "--model", model], obj=FakeLLM())
    assert (result.exit_code, result.stderr) == (2, "error: 'bad' is no model.\n")
