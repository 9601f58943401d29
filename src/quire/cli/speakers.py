"""Who answers in a conversation on the terminal: a model in this process, or a server that runs already.

A speaker takes the conversation so far and gives a `Speech`. With a collection, that stands on its passages.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from quire.sampling_params import SamplingParams

if TYPE_CHECKING:
    from quire.llm import LLM

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Source:
    document_id: str
    text: str


@dataclass(slots=True)
class Speech:
    pieces: Iterator[str]
    sources: dict[int, Source] = field(default_factory=dict)
    """What the marks in the pieces read so far name, by number."""


class Speaker(Protocol):
    def check(self, collection: str) -> None:
        """Raises QuireError where answers cannot stand on it."""

    def speak(self, said: Sequence[Message], collection: str | None) -> Speech:
        """What is said next. Raises QuireError, at the latest when the pieces are read."""


class ModelSpeaker:
    def __init__(self, llm: "LLM", params: SamplingParams, quoting: SamplingParams) -> None:
        """`quoting` is for answers from passages."""
        self._llm = llm
        self._params = params
        self._quoting = quoting

    def check(self, collection: str) -> None:
        from quire.retrieval.collection import Collection

        Collection.open(collection, read_only=True, create=False).close()

    def speak(self, said: Sequence[Message], collection: str | None) -> Speech:
        if collection is None:
            return Speech(self._alone(said))
        speech = Speech(iter(()))
        speech.pieces = self._grounded(said, collection, speech.sources)
        return speech

    def _alone(self, said: Sequence[Message]) -> Iterator[str]:
        for output in self._llm.stream(self._llm.tokenizer.apply_chat_template([*said]), self._params):
            yield from (completion.text for completion in output.outputs)

    def _grounded(self, said: Sequence[Message], collection: str, sources: dict[int, Source]) -> Iterator[str]:
        stream = self._llm.stream_answer(said, collection=collection, sampling_params=self._quoting)
        for piece in stream:
            for citation in stream.answer.citations:
                sources[citation.number] = Source(citation.passage.document_id, citation.passage.text)
            yield piece


class ServerSpeaker(AbstractContextManager["ServerSpeaker"]):
    """`options` are what every request brings."""

    def __init__(self, base_url: str, api_key: str | None, options: dict[str, Any]) -> None:
        from quire.client import Client

        self._client = Client(base_url, api_key=api_key)
        self._options = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def check(self, collection: str) -> None:
        self._client.search(collection, "", k=1)

    def speak(self, said: Sequence[Message], collection: str | None) -> Speech:
        speech = Speech(iter(()))
        options = self._options if collection is None else {**self._options, "collection": collection}
        speech.pieces = self._told(said, options, speech.sources)
        return speech

    def _told(self, said: Sequence[Message], options: dict[str, Any], sources: dict[int, Source]) -> Iterator[str]:
        with closing(self._client.chat_stream(said, **options)) as events:
            for delta in (choice["delta"] for event in events for choice in event["choices"]):
                for citation in delta.get("citations", ()):
                    sources[citation["number"]] = Source(citation["document_id"], citation["text"])
                yield delta.get("content", "")
