"""`quire chat`: a conversation on the terminal, with a model here and now or with a server that runs already."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.flags import with_flags
from quire.cli.generate import llm_class
from quire.config import EngineConfig
from quire.errors import InvalidRequestError, QuireError
from quire.sampling_params import SamplingParams

if TYPE_CHECKING:
    from quire.llm import LLM

Message = dict[str, str]
Speak = Callable[[Sequence[Message]], Iterator[str]]
"""The answer to a conversation, piece by piece."""

COMMANDS = {"/help": "these commands", "/reset": "forget what was said", "/quit": "leave; so does Ctrl-D"}
PROMPT = "> "


@with_flags(sampling=SamplingParams, engine=EngineConfig)
def chat(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="A Hugging Face directory, a GGUF file or a hub id. Default: the one we carry.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="A server that runs already: http://HOST:PORT or grpc://HOST:PORT.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="Its key.", envvar="QUIRE_CLIENT_KEY")] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told before all else.")] = None,
    *,
    sampling: dict[str, Any],
    engine: dict[str, Any],
) -> None:
    """Talk with a model. Ctrl-C stops an answer, Ctrl-D leaves; /help shows what else there is."""
    if base_url is not None and engine:
        name = next(iter(engine)).replace("_", "-")
        raise InvalidRequestError(f"--{name} is the engine's, and the engine is the server's; leave it out.")
    with _speaker(ctx, model, base_url, api_key, sampling, engine) as speak:
        converse(speak, [] if system is None else [{"role": "system", "content": system}])


def converse(speak: Speak, opening: Sequence[Message]) -> None:
    """Until the input ends. An error is told, and the question taken back."""
    said = [*opening]
    while (text := _read()) is not None and text != "/quit":
        if text == "/reset":
            said = [*opening]
        elif text.startswith("/"):
            print(*(f"{name:8}{meaning}" for name, meaning in COMMANDS.items()), sep="\n")
        elif text:
            said.append({"role": "user", "content": text})
            answer = _told(speak, said)
            said = said[:-1] if answer is None else [*said, {"role": "assistant", "content": answer}]


def _told(speak: Speak, said: Sequence[Message]) -> str | None:
    """What was said, also where Ctrl-C cut it short."""
    answer = ""
    try:
        pieces = speak(said)
        for piece in pieces:
            answer += piece
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        pass
    except QuireError as error:
        print(f"error: {error}", file=sys.stderr)
        return None
    print()
    return answer


def _read() -> str | None:
    """A line, or None where there are no more. Ctrl-C clears the line."""
    if sys.stdin.isatty():
        import readline  # noqa: F401 (gives input() its history and editing)
    try:
        return input(PROMPT if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:
        print()
        return ""


def _speaker(
    ctx: typer.Context,
    model: str | None,
    base_url: str | None,
    api_key: str | None,
    sampling: dict[str, Any],
    engine: dict[str, Any],
) -> AbstractContextManager[Speak]:
    if base_url is not None:
        return _of_server(base_url, api_key, {**sampling, **({} if model is None else {"model": model})})
    params = SamplingParams(**{"max_tokens": None, **sampling})
    return _of_model(llm_class(ctx)(model, show_progress=sys.stderr.isatty(), **engine), params)


@contextmanager
def _of_server(base_url: str, api_key: str | None, options: dict[str, Any]) -> Iterator[Speak]:
    from quire.client import Client

    with Client(base_url, api_key=api_key) as client:

        def speak(said: Sequence[Message]) -> Iterator[str]:
            with closing(client.chat_stream(said, **options)) as events:
                for event in events:
                    yield from (choice["delta"].get("content", "") for choice in event["choices"])

        yield speak


@contextmanager
def _of_model(model: "LLM", params: SamplingParams) -> Iterator[Speak]:
    with model as llm:

        def speak(said: Sequence[Message]) -> Iterator[str]:
            for output in llm.stream(llm.tokenizer.apply_chat_template([*said]), params):
                yield from (completion.text for completion in output.outputs)

        yield speak
