"""A collection as the server has it: a reader that is always open, and a writer while there is something to write.

Writes take turns, in the order in which they came, and one that was begun is carried out, whether its caller waits or
not. The lock that keeps other processes from writing is let go of LINGER_S after the last of them, since to open a
large collection anew for each would be slow. The reader is for any thread, the rest for the event loop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from quire.retrieval.collection import Collection, delete_collection
from quire.retrieval.collection.places import database_of
from quire.server.auth import Caller
from quire.server.retrieval.pool import WorkPool
from quire.server.retrieval.refusals import not_found

LINGER_S = 3.0

T = TypeVar("T")


class ServedCollection:
    def __init__(self, name: str, place: Path, *, is_ours: bool) -> None:
        """Raises QuireError where there is no collection at `place`. `is_ours` says that it may be deleted."""
        self.name = name
        self.is_ours = is_ours
        self.reader = Collection.open(place, read_only=True, create=False)
        self._place = place
        self._file_number = database_of(place).stat().st_ino
        self._writer: Collection | None = None
        self._turn = asyncio.Lock()
        self._rest: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_there(self) -> bool:
        """Not deleted, nor deleted and made again, by whomever."""
        try:
            return database_of(self._place).stat().st_ino == self._file_number
        except OSError:
            return False

    async def write(self, pool: WorkPool, caller: Caller, num_tokens: int, change: Callable[[Collection], T]) -> T:
        """What `change` gives for the open collection. Raises ApiError 404 where it was deleted meanwhile, and
        CollectionLockedError while another process writes to it."""
        return await self._carried_out(self._in_turn(pool, caller, num_tokens, lambda: change(self._opened())))

    async def delete(self, pool: WorkPool, caller: Caller) -> None:
        """Searches go on with what they have."""

        def delete() -> None:
            self._close_writer()
            delete_collection(self._place)

        await self._carried_out(self._in_turn(pool, caller, 0, delete))

    async def close(self) -> None:
        """Waits for what was begun."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._rest is not None:
            self._rest.cancel()
        await asyncio.to_thread(self._close_writer)
        await asyncio.to_thread(self.reader.close)

    async def _in_turn(self, pool: WorkPool, caller: Caller, num_tokens: int, work: Callable[[], T]) -> T:
        with pool.admitted(caller, num_tokens) as ticket:
            async with self._turn:
                if not self.is_there:
                    raise not_found(self.name)
                if self._rest is not None:
                    self._rest.cancel()
                try:
                    return await pool.run(ticket, work)
                finally:
                    loop = asyncio.get_running_loop()
                    self._rest = loop.call_later(LINGER_S, lambda: self._task(self._let_go()))

    async def _let_go(self) -> None:
        async with self._turn:
            await asyncio.to_thread(self._close_writer)

    async def _carried_out(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.shield(self._task(work))

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # there may be nobody to hear it
        return task

    def _opened(self) -> Collection:
        if self._writer is None:
            self._writer = Collection.open(self._place, create=False)
        return self._writer

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
