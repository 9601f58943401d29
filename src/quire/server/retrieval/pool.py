"""Threads for work that is neither the event loop's nor the engine's, with a door before them.

No more waits than `max_queued`; more is refused with the time to come again. Who leaves while his work waits takes it
away; work that has begun ends by itself.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from quire.scheduling.admission import AdmissionController, AdmissionLimits, Admitted
from quire.scheduling.rates import Rates, Refused
from quire.server.auth import Caller
from quire.server.errors import refused

T = TypeVar("T")


class WorkPool:
    """`rates` are those of the whole server; `on_refusal` is told the status of each."""

    def __init__(
        self, name: str, num_threads: int, max_queued: int, rates: Rates, on_refusal: Callable[[int], None]
    ) -> None:
        self._admission = AdmissionController(AdmissionLimits(max_queued_requests=max_queued), rates=rates)
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix=name)
        self._on_refusal = on_refusal

    @contextmanager
    def admitted(self, caller: Caller, num_tokens: int) -> Iterator[Admitted]:
        """Counts work in for as long as the block lasts. Raises ApiError 429 or 503."""
        ticket = self._admission.admit(caller.name, num_tokens, 0)
        if isinstance(ticket, Refused):
            error = refused(ticket)
            self._on_refusal(error.status)
            raise error
        try:
            yield ticket
        finally:
            self._admission.finished(ticket)

    async def run(self, ticket: Admitted, work: Callable[[], T]) -> T:
        """What `work` gives, once a thread is free for it."""

        def begun() -> T:
            self._admission.started(ticket)
            return work()

        return await self.run_unadmitted(begun)

    async def run_unadmitted(self, work: Callable[[], T]) -> T:
        """The same of a part of what is let in at another door."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Waits for what has begun."""
        self._threads.shutdown(cancel_futures=True)
