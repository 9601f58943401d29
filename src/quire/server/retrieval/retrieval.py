"""The collections of a server and the models they need, with the threads that ask them and write to them.

Asking, computing and writing have pools of their own, so that none waits for another and no chat for any.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from quire.protocol.live import HotQuery
from quire.retrieval.collection import Collection
from quire.retrieval.query_heat import QueryHeat
from quire.scheduling.rates import Rates
from quire.server.auth import Caller
from quire.server.retrieval.collections import Collections
from quire.server.retrieval.models import RetrievalModels
from quire.server.retrieval.pool import WorkPool
from quire.server.retrieval.refusals import not_ours, read_only
from quire.server.retrieval.served import ServedCollection
from quire.server.settings import ServerSettings

NUM_ASKING_THREADS = 4
NUM_COMPUTING_THREADS = 4
"""They wait for the thread of their model, which computes together what they bring."""
NUM_WRITING_THREADS = 2
CHARS_PER_TOKEN = 4
"""A text that no model reads counts at the door as if one did."""

T = TypeVar("T")


class Retrieval:
    """`rates` are those of the whole server; `on_refusal` is told the status of each."""

    def __init__(self, settings: ServerSettings, rates: Rates, on_refusal: Callable[[int], None]) -> None:
        self.models = RetrievalModels(settings.embedder, settings.reranker)
        embedder = self.models.embedder_for_collections
        self.collections = Collections(settings.collection, settings.collection_folder, embedder)
        self._num_hot_queries = settings.num_hot_queries
        self._query_heat = QueryHeat() if settings.num_hot_queries else None
        self._is_read_only = settings.are_collections_read_only
        max_queued = settings.max_queued_retrievals
        self._asking = WorkPool("quire-asking", NUM_ASKING_THREADS, max_queued, rates, on_refusal)
        self._computing = WorkPool("quire-computing", NUM_COMPUTING_THREADS, max_queued, rates, on_refusal)
        self._writing = WorkPool("quire-writing", NUM_WRITING_THREADS, max_queued, rates, on_refusal)

    async def ask(self, caller: Caller, num_chars: int, work: Callable[[], T]) -> T:
        """What `work` gives, in a thread. Raises ApiError 429 or 503 where there is too much to do."""
        with self._asking.admitted(caller, num_chars // CHARS_PER_TOKEN) as ticket:
            return await self._asking.run(ticket, work)

    async def ask_for_chat(self, work: Callable[[], T]) -> T:
        """The same for a chat, which is let in by itself."""
        return await self._asking.run_unadmitted(work)

    async def compute(self, caller: Caller, num_chars: int, work: Callable[[], T]) -> T:
        """The same of what a model is asked for its own sake."""
        with self._computing.admitted(caller, num_chars // CHARS_PER_TOKEN) as ticket:
            return await self._computing.run(ticket, work)

    async def make(self, caller: Caller, work: Callable[[], T]) -> T:
        """The same of what makes a collection."""
        self._check_is_writable()
        with self._writing.admitted(caller, 0) as ticket:
            return await self._writing.run(ticket, work)

    async def write(self, caller: Caller, name: str, num_chars: int, change: Callable[[Collection], T]) -> T:
        """What `change` gives for the collection of that name, when it is its turn."""
        served = await self._writable(name)
        return await served.write(self._writing, caller, num_chars // CHARS_PER_TOKEN, change)

    async def delete(self, caller: Caller, name: str) -> None:
        """The collection and all that is in it."""
        served = await self._writable(name)
        if not served.is_ours:
            raise not_ours(name)
        await served.delete(self._writing, caller)
        await asyncio.to_thread(self.collections.forget_deleted, name)

    def count_query(self, query: str) -> None:
        """Somebody has asked a collection this."""
        if self._query_heat is not None:
            self._query_heat.add(query)

    def hot_queries(self) -> list[HotQuery]:
        """What collections are asked most of late, most first."""
        heat = self._query_heat
        hottest = [] if heat is None else heat.hottest(self._num_hot_queries)
        return [{"query": query, "count": count} for query, count in hottest]

    async def close(self) -> None:
        """Waits for what has begun."""
        self._query_heat = None
        await self.collections.close()
        for pool in (self._asking, self._computing, self._writing):
            await asyncio.to_thread(pool.close)

    async def _writable(self, name: str) -> ServedCollection:
        self._check_is_writable()
        return await asyncio.to_thread(self.collections.named, name)

    def _check_is_writable(self) -> None:
        if self._is_read_only:
            raise read_only()
