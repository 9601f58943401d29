"""Runs the prompts of one HTTP request together: whole, or as they come.

Nothing outlives the request: leaving `whole` or `stream`, however it happens, aborts what still runs.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from quire.engine.async_engine import AsyncEngine
from quire.engine.outputs import OutputKind, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.observability.metrics import RequestRecord, ServingMetrics
from quire.scheduling.admission import AdmissionController, Admitted
from quire.server.answering.tracing import QuestionTrace
from quire.server.errors import SERVER, ApiError

log = logging.getLogger(__name__)


def by_request_id(answer_id: str, prepared: Iterable[PreparedRequest]) -> dict[str, PreparedRequest]:
    """The names under which the engine knows the prompts of one answer."""
    return {f"{answer_id}-{index}": one for index, one in enumerate(prepared)}


Numbered = tuple[int, RequestOutput]
"""Which of the request's prompts, and what came of it."""


@dataclass(slots=True)
class Generation:
    answer_id: str
    prepared: dict[str, PreparedRequest]
    """By the engine's request id."""
    engine: AsyncEngine
    admission: AdmissionController
    metrics: ServingMetrics
    trace: QuestionTrace

    async def whole(self, ticket: Admitted) -> list[RequestOutput]:
        """The finished output of each prompt, in order."""
        outputs: list[RequestOutput | None] = [None] * len(self.prepared)
        async with aclosing(self._run(ticket, OutputKind.FINAL)) as batches:
            async for batch in batches:
                for index, output in batch:
                    outputs[index] = output
        return [output for output in outputs if output is not None]

    async def stream(self, ticket: Admitted) -> AsyncGenerator[list[Numbered], None]:
        """What is new, all that is there at once."""
        last_s: float | None = None
        async with aclosing(self._run(ticket, OutputKind.DELTA)) as batches:
            async for batch in batches:
                now_s = time.monotonic()
                if last_s is not None:
                    self.metrics.observe_gap((now_s - last_s) / len(batch))
                last_s = now_s
                yield batch

    async def _run(self, ticket: Admitted, kind: OutputKind) -> AsyncGenerator[list[Numbered], None]:
        mailbox = _Mailbox()
        readers = [
            asyncio.create_task(self._read(mailbox, index, request_id, kind))
            for index, request_id in enumerate(self.prepared)
        ]
        num_open = len(readers)
        try:
            while num_open:
                batch = await mailbox.take()
                self.admission.started(ticket)
                num_open -= sum(output.is_finished for _, output in batch)
                yield batch
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)

    async def _read(self, mailbox: "_Mailbox", index: int, request_id: str, kind: OutputKind) -> None:
        num_output_tokens = 0
        try:
            prepared = self.prepared[request_id]
            async for output in self.engine.generate(prepared, request_id=request_id, output_kind=kind):
                if output.error is not None:
                    log.error("a request failed in the engine: %s", output.error, extra={"request_id": self.answer_id})
                    raise ApiError(500, "The engine could not finish this; the server's log says why.", kind=SERVER)
                num_output_tokens += sum(len(completion.token_ids) for completion in output.outputs)
                if output.is_finished:
                    self._record(prepared, output, num_output_tokens)
                mailbox.put((index, output))
        except Exception as error:
            mailbox.fail(error)

    def _record(self, prepared: PreparedRequest, output: RequestOutput, num_output_tokens: int) -> None:
        self.trace.finish(prepared, output, num_output_tokens)
        times = output.metrics
        if times is None or times.finished_s is None or times.first_token_s is None:
            return
        reasons = tuple(str(c.finish_reason) for c in output.outputs if c.finish_reason is not None)
        self.metrics.observe_request(
            RequestRecord(
                finish_reasons=reasons,
                num_prompt_tokens=len(prepared.token_ids),
                num_output_tokens=num_output_tokens,
                queue_s=(times.first_scheduled_s or times.first_token_s) - times.arrival_s,
                first_token_s=times.first_token_s - times.arrival_s,
                whole_s=times.finished_s - times.arrival_s,
            )
        )


class _Mailbox:
    """Where several readers put what one writer takes, all at once. In one event loop."""

    def __init__(self) -> None:
        self._items: list[Numbered] = []
        self._error: Exception | None = None
        self._has_mail = asyncio.Event()

    def put(self, item: Numbered) -> None:
        self._items.append(item)
        self._has_mail.set()

    def fail(self, error: Exception) -> None:
        self._error = error
        self._has_mail.set()

    async def take(self) -> list[Numbered]:
        """Everything there is, at least one. Raises what a reader failed with, after what came before."""
        await self._has_mail.wait()
        if not self._items and self._error is not None:
            raise self._error
        items, self._items = self._items, []
        if self._error is None:
            self._has_mail.clear()
        return items
