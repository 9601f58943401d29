"""`quire chat`: a conversation on the terminal, with a model here and now or with a server that runs already."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.flags import with_flags
from quire.cli.generate import llm_class
from quire.cli.speakers import Message, ModelSpeaker, ServerSpeaker, Source, Speaker
from quire.config import EngineConfig
from quire.errors import InvalidRequestError, QuireError
from quire.sampling_params import SamplingParams

if TYPE_CHECKING:
    from quire.llm import LLM

COMMANDS = {
    "/collection NAME": "answer from its passages; /collection says from which, /collection off from none",
    "/reset": "forget what was said",
    "/help": "these commands",
    "/quit": "leave; so does Ctrl-D",
}
PROMPT = "> "
SOURCE_LINES = 2


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
    collection: Annotated[
        str | None, typer.Option(metavar="NAME", help="Answer from its passages: a name or a path, or a name there.")
    ] = None,
    *,
    sampling: dict[str, Any],
    engine: dict[str, Any],
) -> None:
    """Talk with a model. Ctrl-C stops an answer, Ctrl-D leaves; /help shows what else there is."""
    if base_url is not None and engine:
        name = next(iter(engine)).replace("_", "-")
        raise InvalidRequestError(f"--{name} is the engine's, and the engine is the server's; leave it out.")
    with _speaker(ctx, model, base_url, api_key, sampling, engine) as speaker:
        if collection is not None:
            speaker.check(collection)
        Conversation(speaker, [] if system is None else [{"role": "system", "content": system}], collection).run()


class Conversation:
    """Until the input ends. An error is told, and the question taken back."""

    def __init__(self, speaker: Speaker, opening: Sequence[Message], collection: str | None = None) -> None:
        self._speaker = speaker
        self._opening = opening
        self._said = [*opening]
        self._collection = collection

    def run(self) -> None:
        while (text := _read()) is not None and text != "/quit":
            if text.startswith("/"):
                self._obey(*text.split(maxsplit=1))
            elif text:
                self._ask(text)

    def _ask(self, text: str) -> None:
        asked = [*self._said, {"role": "user", "content": text}]
        answer = self._told(asked)
        if answer is not None:
            self._said = [*asked, {"role": "assistant", "content": answer}]

    def _told(self, asked: Sequence[Message]) -> str | None:
        """What was said, also where Ctrl-C cut it short."""
        answer, sources = "", {}
        try:
            speech = self._speaker.speak(asked, self._collection)
            sources = speech.sources
            for piece in speech.pieces:
                answer += piece
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            pass
        except QuireError as error:
            _complain(error)
            return None
        print()
        _print_sources(sources)
        return answer

    def _obey(self, command: str, argument: str | None = None) -> None:
        if command == "/collection":
            self._choose(argument)
        elif command == "/reset":
            self._said = [*self._opening]
        else:
            print(*(f"{name:18}{meaning}" for name, meaning in COMMANDS.items()), sep="\n")

    def _choose(self, name: str | None) -> None:
        if name is not None:
            try:
                if name != "off":
                    self._speaker.check(name)
            except QuireError as error:
                return _complain(error)
            self._collection = None if name == "off" else name
        print("The model answers alone." if self._collection is None else f"Answers are from {self._collection}.")
        return None


def _complain(error: QuireError) -> None:
    print(f"error: {error}", file=sys.stderr)


def _print_sources(sources: Mapping[int, Source]) -> None:
    width = max(40, min(shutil.get_terminal_size().columns, 120))
    for number, source in sorted(sources.items()):
        text = textwrap.wrap(" ".join(source.text.split()), width - 4, max_lines=SOURCE_LINES, placeholder=" …")
        print(f"[{number}] {source.document_id}", *(f"    {line}" for line in text), sep="\n")


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
) -> AbstractContextManager[Speaker]:
    if base_url is not None:
        return ServerSpeaker(base_url, api_key, {**sampling, **({} if model is None else {"model": model})})
    params = SamplingParams(**{"max_tokens": None, **sampling})
    quoting = params if "temperature" in sampling else replace(params, temperature=0.0)
    return _of_model(llm_class(ctx)(model, show_progress=sys.stderr.isatty(), **engine), params, quoting)


@contextmanager
def _of_model(model: "LLM", params: SamplingParams, quoting: SamplingParams) -> Iterator[Speaker]:
    with model as llm:
        yield ModelSpeaker(llm, params, quoting)
