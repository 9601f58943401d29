"""Answers from passages: retrieve, assemble, generate, and lead the marks back to their sources.

    question ─▶ retrieve ─▶ [prompt.py] ─▶ generate ─▶ [citations.py] ─▶ Answer

Knows neither engine nor index: both are handed in as functions, so that a library call and an async server share what
lies between (`assemble_prompt` before, `CitationReader` after). Any thread; an `AnswerStream` belongs to one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeAlias

from quire.models.tokenizer import Tokenizer
from quire.rag.citations import Citation, CitationReader, Passage
from quire.rag.prompt import GroundedPrompt, Message, assemble_prompt, question_of

Retrieve: TypeAlias = Callable[[str], Sequence[Passage]]
"""The passages a question is about, best first."""
Generate: TypeAlias = Callable[[GroundedPrompt], Iterator[str]]
"""What the model says, piece by piece."""


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    citations: Sequence[Citation]
    """The marks in `text` and what they name, in the order of the text."""
    chunks: Sequence[Passage]
    """All passages the model was shown; `[n]` is `chunks[n - 1]`."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds: retrieve_s, prompt_s, first_token_s (of generating), generate_s, total_s."""


class AnswerStream:
    """Iterate, once, for the text as it comes; `answer` is whole when that has ended. Leaving the loop ends it."""

    def __init__(self, prompt: GroundedPrompt, generate: Generate, timings: Mapping[str, float]) -> None:
        self.chunks = prompt.passages
        self._reader = CitationReader(prompt.passages)
        self._text = ""
        self._timings = dict(timings)
        self._pieces = self._read(generate, prompt)

    def __iter__(self) -> Iterator[str]:
        yield from self._pieces  # which closes them when the loop is left

    @property
    def answer(self) -> Answer:
        """What has come so far."""
        return Answer(self._text, tuple(self._reader.citations), self.chunks, self._timings)

    def _read(self, generate: Generate, prompt: GroundedPrompt) -> Iterator[str]:
        start = perf_counter()
        for piece in generate(prompt):
            self._timings.setdefault("first_token_s", perf_counter() - start)
            yield from self._told(self._reader.feed(piece))
        yield from self._told(self._reader.finish())
        self._timings["generate_s"] = perf_counter() - start
        self._timings["total_s"] = sum(self._timings[name] for name in ("retrieve_s", "prompt_s", "generate_s"))

    def _told(self, text: str) -> Iterator[str]:
        self._text += text
        if text:
            yield text


def answer_stream(
    messages: Sequence[Message],
    retrieve: Retrieve,
    generate: Generate,
    tokenizer: Tokenizer,
    *,
    max_prompt_tokens: int,
    template: str | None = None,
) -> AnswerStream:
    """Retrieves and assembles at once; the text comes as the stream is read. Raises InvalidRequestError where the last
    message is no question."""
    start = perf_counter()
    found = retrieve(question_of(messages))
    retrieved = perf_counter()
    prompt = assemble_prompt(messages, found, tokenizer, max_tokens=max_prompt_tokens, template=template)
    timings = {"retrieve_s": retrieved - start, "prompt_s": perf_counter() - retrieved}
    return AnswerStream(prompt, generate, timings)


def prompt_room(max_model_len: int, max_tokens: int | None) -> int:
    """How long a prompt may be so that an answer of `max_tokens` has room behind it, though never below half."""
    half = max_model_len // 2
    return max_model_len - min(max_tokens or half, half)


def as_messages(question: str | Sequence[Mapping[str, Any]]) -> list[Message]:
    """A question alone is a conversation of one message."""
    return [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
