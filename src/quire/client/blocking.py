"""The client for programs without an event loop: AsyncClient in a loop of its own, in a thread of its own.

Thread safety: any thread.
"""

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from quire.client.asks import (
    ChatOptions,
    EmbedOptions,
    GenerateOptions,
    Message,
    Prompt,
    RerankOptions,
    TemplateOptions,
)
from quire.client.asynchronous import DEFAULT_URL, AsyncClient
from quire.client.collection_asks import FilePath, NewCollectionOptions, NewDocument, SearchOptions
from quire.client.retries import RetryPolicy
from quire.protocol.collections import CollectionInfo, DocumentAnswer, DocumentList, HitAnswer, WrittenDocuments
from quire.protocol.openai.answers import ChatCompletion, ChatCompletionChunk, Completion, EmbeddingList, Model, Tokens
from quire.protocol.rerank import RerankAnswer

T = TypeVar("T")


class Client:
    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        ca_file: str | None = None,
        timeout_s: float = 600.0,
        retries: RetryPolicy | None = None,
    ) -> None:
        """`base_url` says how: http://, https://, grpc:// or grpcs://. Raises ConfigError for any other."""
        self._client = AsyncClient(base_url, api_key=api_key, ca_file=ca_file, timeout_s=timeout_s, retries=retries)
        self._loop = _LoopThread()

    def chat(self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]) -> ChatCompletion:
        """The next message of a conversation."""
        return self._loop.run(self._client.chat(messages, **options))

    def chat_stream(
        self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]
    ) -> Generator[ChatCompletionChunk, None, None]:
        """The same as it comes; the last event has the usage. Closing it, or forgetting it, ends the request."""
        return self._loop.iterate(self._client.chat_stream(messages, **options))

    def generate(self, prompt: Prompt | Sequence[Prompt], **options: Unpack[GenerateOptions]) -> Completion:
        """What follows each prompt."""
        return self._loop.run(self._client.generate(prompt, **options))

    def generate_stream(
        self, prompt: Prompt | Sequence[Prompt], **options: Unpack[GenerateOptions]
    ) -> Generator[Completion, None, None]:
        """The same as it comes; the last event has the usage. Closing it, or forgetting it, ends the request."""
        return self._loop.iterate(self._client.generate_stream(prompt, **options))

    def embed(self, texts: Prompt | Sequence[Prompt], **options: Unpack[EmbedOptions]) -> EmbeddingList:
        """A vector of unit length for each text."""
        return self._loop.run(self._client.embed(texts, **options))

    def rerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankOptions]) -> RerankAnswer:
        """How well each document answers the query, best first."""
        return self._loop.run(self._client.rerank(query, documents, **options))

    def tokenize(
        self,
        prompt: str | Sequence[Message],
        *,
        add_special_tokens: bool | None = None,
        **options: Unpack[TemplateOptions],
    ) -> Tokens:
        """The token ids of a prompt or of a conversation."""
        return self._loop.run(self._client.tokenize(prompt, add_special_tokens=add_special_tokens, **options))

    def detokenize(self, token_ids: Sequence[int]) -> str:
        """Their text, special ones written out."""
        return self._loop.run(self._client.detokenize(token_ids))

    def models(self) -> list[Model]:
        """The names the model answers to."""
        return self._loop.run(self._client.models())

    def collections(self) -> list[CollectionInfo]:
        """Those that the server serves."""
        return self._loop.run(self._client.collections())

    def collection(self, name: str) -> CollectionInfo:
        """What one of them holds."""
        return self._loop.run(self._client.collection(name))

    def create_collection(self, name: str, **options: Unpack[NewCollectionOptions]) -> CollectionInfo:
        """A new one, empty."""
        return self._loop.run(self._client.create_collection(name, **options))

    def delete_collection(self, name: str) -> None:
        """With all that is in it."""
        self._loop.run(self._client.delete_collection(name))

    def upsert(self, collection: str, documents: Iterable[NewDocument]) -> WrittenDocuments:
        """Adds documents, or puts them in place of those with the same ids; they are on the server's disk then."""
        return self._loop.run(self._client.upsert(collection, documents))

    def upload(self, collection: str, file: FilePath, *, document_id: str | None = None) -> WrittenDocuments:
        """A file (text, Markdown, HTML, PDF, DOCX) as a document, read by the server; its id is the file's name, unless
        given, and its ending says what it is. Raises OSError where the file cannot be read."""
        return self._loop.run(self._client.upload(collection, file, document_id=document_id))

    def documents(self, collection: str, *, limit: int = 100, after: int = 0) -> DocumentList:
        """What there is, in order, without the texts; `next` is the `after` of the next page."""
        return self._loop.run(self._client.documents(collection, limit=limit, after=after))

    def document(self, collection: str, document_id: str) -> DocumentAnswer:
        """As it was added."""
        return self._loop.run(self._client.document(collection, document_id))

    def delete_documents(self, collection: str, ids: Iterable[str]) -> int:
        """Takes documents out; returns how many of them there were."""
        return self._loop.run(self._client.delete_documents(collection, ids))

    def search(self, collection: str, query: str, **options: Unpack[SearchOptions]) -> list[HitAnswer]:
        """The passages that are about the query, best first."""
        return self._loop.run(self._client.search(collection, query, **options))

    def close(self) -> None:
        """Ends what still streams."""
        if self._loop.is_open:
            self._loop.run(self._client.close())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _LoopThread:
    """An event loop that runs until it is closed or forgotten."""

    def __init__(self) -> None:
        runner, end = asyncio.Runner(loop_factory=asyncio.new_event_loop), asyncio.Event()
        self._loop = runner.get_loop()
        threading.Thread(target=_run, args=(runner, end), name="quire-client", daemon=True).start()
        self._stop = weakref.finalize(self, self._loop.call_soon_threadsafe, end.set)

    @property
    def is_open(self) -> bool:
        return self._stop.alive

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        if not self.is_open:
            work.close()
            raise RuntimeError("This client is closed.")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # where Ctrl-C ended the wait

    def iterate(self, stream: AsyncGenerator[T, None]) -> Generator[T, None, None]:
        try:
            while not isinstance(item := self.run(_next(stream)), _End):
                yield item
        finally:
            if self.is_open:
                self.run(_closed(stream))

    def close(self) -> None:
        self._stop()


class _End:
    """Instead of an item."""


async def _next(stream: AsyncGenerator[T, None]) -> T | _End:
    return await anext(stream, _End())


async def _closed(stream: AsyncGenerator[Any, None]) -> None:
    await stream.aclose()


def _run(runner: asyncio.Runner, end: asyncio.Event) -> None:
    """Leaving the runner cancels what is left."""
    with runner:
        runner.run(_until(end))


async def _until(end: asyncio.Event) -> None:
    await end.wait()
