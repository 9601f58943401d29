"""The client for programs that have an event loop; `Client` is this one with a loop of its own."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack, cast

from quire.client import asks, collection_asks
from quire.client.asks import (
    Ask,
    ChatOptions,
    EmbedOptions,
    GenerateOptions,
    Message,
    Prompt,
    RerankOptions,
    TemplateOptions,
)
from quire.client.collection_asks import FilePath, NewCollectionOptions, NewDocument, SearchOptions
from quire.client.retries import RetryPolicy
from quire.client.transport.address import Address, transport_to
from quire.errors import QuireError
from quire.protocol.collections import CollectionInfo, DocumentAnswer, DocumentList, HitAnswer, WrittenDocuments
from quire.protocol.openai.answers import ChatCompletion, ChatCompletionChunk, Completion, EmbeddingList, Model, Tokens
from quire.protocol.rerank import RerankAnswer

DEFAULT_URL = "http://127.0.0.1:8000"


class AsyncClient:
    """Of one server, from one event loop. Streams that are not read to their end are to be closed (`aclose`)."""

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
        self._transport = transport_to(Address(base_url.rstrip("/"), api_key, ca_file, timeout_s))
        self._retries = retries or RetryPolicy()
        self._is_closed = False

    async def chat(self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]) -> ChatCompletion:
        """The next message of a conversation."""
        return cast(ChatCompletion, await self._answer(asks.chat(messages, options)))

    def chat_stream(
        self, messages: str | Sequence[Message], **options: Unpack[ChatOptions]
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        """The same as it comes; the last event has the usage."""
        return cast("AsyncGenerator[ChatCompletionChunk, None]", self._events(asks.chat(messages, options)))

    async def generate(self, prompt: Prompt | Sequence[Prompt], **options: Unpack[GenerateOptions]) -> Completion:
        """What follows each prompt."""
        return cast(Completion, await self._answer(asks.generate(prompt, options)))

    def generate_stream(
        self, prompt: Prompt | Sequence[Prompt], **options: Unpack[GenerateOptions]
    ) -> AsyncGenerator[Completion, None]:
        """The same as it comes; the last event has the usage."""
        return cast("AsyncGenerator[Completion, None]", self._events(asks.generate(prompt, options)))

    async def embed(self, texts: Prompt | Sequence[Prompt], **options: Unpack[EmbedOptions]) -> EmbeddingList:
        """A vector of unit length for each text."""
        return cast(EmbeddingList, await self._answer(asks.embed(texts, options)))

    async def rerank(self, query: str, documents: Sequence[str], **options: Unpack[RerankOptions]) -> RerankAnswer:
        """How well each document answers the query, best first."""
        return cast(RerankAnswer, await self._answer(asks.rerank(query, documents, options)))

    async def tokenize(
        self,
        prompt: str | Sequence[Message],
        *,
        add_special_tokens: bool | None = None,
        **options: Unpack[TemplateOptions],
    ) -> Tokens:
        """The token ids of a prompt or of a conversation."""
        return cast(Tokens, await self._answer(asks.tokenize(prompt, options, add_special_tokens=add_special_tokens)))

    async def detokenize(self, token_ids: Sequence[int]) -> str:
        """Their text, special ones written out."""
        return str((await self._answer(asks.detokenize(token_ids)))["prompt"])

    async def models(self) -> list[Model]:
        """The names the model answers to."""
        return cast("list[Model]", (await self._answer(Ask(asks.MODELS)))["data"])

    async def collections(self) -> list[CollectionInfo]:
        """Those that the server serves."""
        return cast("list[CollectionInfo]", (await self._answer(Ask(collection_asks.LIST)))["data"])

    async def collection(self, name: str) -> CollectionInfo:
        """What one of them holds."""
        return cast(CollectionInfo, await self._answer(collection_asks.show(name)))

    async def create_collection(self, name: str, **options: Unpack[NewCollectionOptions]) -> CollectionInfo:
        """A new one, empty."""
        return cast(CollectionInfo, await self._answer(collection_asks.create(name, options)))

    async def delete_collection(self, name: str) -> None:
        """With all that is in it."""
        await self._answer(collection_asks.delete(name))

    async def upsert(self, collection: str, documents: Iterable[NewDocument]) -> WrittenDocuments:
        """Adds documents, or puts them in place of those with the same ids; they are on the server's disk then."""
        return cast(WrittenDocuments, await self._answer(collection_asks.upsert(collection, documents)))

    async def upload(self, collection: str, file: FilePath, *, document_id: str | None = None) -> WrittenDocuments:
        """A file (text, Markdown, HTML, PDF, DOCX) as a document, read by the server; its id is the file's name, unless
        given, and its ending says what it is. Raises OSError where the file cannot be read."""
        path = Path(file)
        content = await asyncio.to_thread(path.read_bytes)
        ask = collection_asks.upload(collection, document_id or path.name, content)
        return cast(WrittenDocuments, await self._answer(ask))

    async def documents(self, collection: str, *, limit: int = 100, after: int = 0) -> DocumentList:
        """What there is, in order, without the texts; `next` is the `after` of the next page."""
        return cast(DocumentList, await self._answer(collection_asks.documents(collection, limit, after)))

    async def document(self, collection: str, document_id: str) -> DocumentAnswer:
        """As it was added."""
        return cast(DocumentAnswer, await self._answer(collection_asks.document(collection, document_id)))

    async def delete_documents(self, collection: str, ids: Iterable[str]) -> int:
        """Takes documents out; returns how many of them there were."""
        return int((await self._answer(collection_asks.delete_documents(collection, ids)))["num_deleted"])

    async def search(self, collection: str, query: str, **options: Unpack[SearchOptions]) -> list[HitAnswer]:
        """The passages that are about the query, best first."""
        return cast("list[HitAnswer]", (await self._answer(collection_asks.search(collection, query, options)))["data"])

    async def close(self) -> None:
        """Ends what still runs; whoever waits for it, or asks again, gets a RuntimeError."""
        self._is_closed = True
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _answer(self, ask: Ask) -> dict[str, Any]:
        num_retries = 0
        while True:
            self._check_open()
            try:
                return await self._transport.call(ask)
            except QuireError as error:
                await self._wait_or_raise(num_retries, error)
            num_retries += 1

    async def _events(self, ask: Ask) -> AsyncGenerator[dict[str, Any], None]:
        num_retries, has_begun = 0, False
        while True:
            self._check_open()
            try:
                async with aclosing(self._transport.stream(ask)) as events:
                    async for event in events:
                        has_begun = True
                        yield event
                        self._check_open()
                return
            except QuireError as error:
                if has_begun:
                    self._check_open()
                    raise
                await self._wait_or_raise(num_retries, error)
            num_retries += 1

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("This client is closed.")

    async def _wait_or_raise(self, num_retries: int, error: QuireError) -> None:
        self._check_open()
        wait_s = self._retries.wait_s(num_retries, error)
        if wait_s is None:
            raise error
        await asyncio.sleep(wait_s)
