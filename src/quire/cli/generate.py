"""`quire generate`: text from a prompt, here and now, without a server."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.flags import with_flags
from quire.config import EngineConfig
from quire.errors import InvalidRequestError
from quire.sampling_params import SamplingParams

if TYPE_CHECKING:
    from quire.engine.outputs import RequestOutput
    from quire.engine.prompts import Prompt
    from quire.llm import LLM


@with_flags(sampling=SamplingParams, engine=EngineConfig)
def generate(
    ctx: typer.Context,
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="Each argument is a prompt.", show_default=False)
    ] = None,
    file: Annotated[list[Path] | None, typer.Option(help="A file that holds one prompt; - is stdin.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A Hugging Face directory, a GGUF file or a hub id. Default: the one we carry.")
    ] = None,
    is_chat: Annotated[
        bool,
        typer.Option("--chat", help="Each prompt is a user's message; the model's chat template goes round it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per prompt, with token ids.")] = False,
    *,
    sampling: dict[str, Any],
    engine: dict[str, Any],
) -> None:
    """Generate text from prompts on the command line, in files, or on stdin.

    Every flag below Sampling and Engine is the field of that name of SamplingParams and of the engine's configuration.
    """
    texts = _read_prompts(prompts or [], file or [])
    params = SamplingParams(**sampling)
    with llm_class(ctx)(model, show_progress=sys.stderr.isatty(), **engine) as llm:
        asked: list[Prompt] = [_as_message(llm, text) for text in texts] if is_chat else [*texts]
        if sys.stdout.isatty() and not as_json and len(asked) == 1 and params.n == 1:
            _stream(llm, asked[0], params)
        else:
            _print(llm.generate(asked, params, use_tqdm=sys.stderr.isatty()), as_json)


def _read_prompts(arguments: Sequence[str], files: Sequence[Path]) -> list[str]:
    if not arguments and not files and not sys.stdin.isatty():
        files = [Path("-")]
    texts = [*arguments, *(_read(path) for path in files)]
    if not texts:
        raise InvalidRequestError('There is no prompt. Give one: quire generate "Once upon a time", --file, or stdin.')
    return texts


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"The prompt file {str(path)!r} cannot be read: {error}.") from error


def llm_class(ctx: typer.Context) -> "Callable[..., LLM]":
    """What makes the model; tests bring their own in `ctx.obj`."""
    if ctx.obj is None:
        from quire.llm import LLM

        return LLM
    brought: Callable[..., LLM] = ctx.obj
    return brought


def _as_message(llm: "LLM", text: str) -> "Prompt":
    message = {"role": "user", "content": text}
    return llm.tokenizer.apply_chat_template([message])


def _stream(llm: "LLM", prompt: "Prompt", params: SamplingParams) -> None:
    for output in llm.stream(prompt, params):
        for completion in output.outputs:
            sys.stdout.write(completion.text)
            sys.stdout.flush()
    sys.stdout.write("\n")


def _print(outputs: "Sequence[RequestOutput]", as_json: bool) -> None:
    for output in outputs:
        if as_json:
            print(json.dumps(_as_dict(output), ensure_ascii=False))
        else:
            for completion in output.outputs:
                print(completion.text)


def _as_dict(output: "RequestOutput") -> dict[str, Any]:
    """Absent log-probabilities are left out rather than written as null."""
    found = asdict(output)
    found["outputs"] = [{k: v for k, v in completion.items() if v is not None} for completion in found["outputs"]]
    return {name: value for name, value in found.items() if value is not None}
