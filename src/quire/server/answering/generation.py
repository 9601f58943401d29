"""Runs the prompts of one HTTP request together: whole, or as they come.

Nothing outlives the request: leaving `whole` or `stream`, however it happens, aborts what still runs.
"""

import logging
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

from quire.engine.async_engine import AsyncEngine
from quire.engine.outputs import OutputKind, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.observability.metrics import RequestRecord, ServingMetrics
from quire.scheduling.admission import AdmissionController, Admitted
from quire.sequence import FinishReason
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
    _numbers: dict[str, int] = field(init=False)
    _num_output_tokens: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = {request_id: number for number, request_id in enumerate(self.prepared)}
        self._num_output_tokens = [0] * len(self.prepared)

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
        start = partial(self.admission.started, ticket)
        async with aclosing(self.engine.generate_all(self.prepared, output_kind=kind, on_start=start)) as batches:
            async for outputs in batches:
                yield [self._numbered(output) for output in outputs]

    def _numbered(self, output: RequestOutput) -> Numbered:
        """Counts and records what came. Raises ApiError 500 where the engine failed at it."""
        index = self._numbers[output.request_id]
        for completion in output.outputs:
            self._num_output_tokens[index] += len(completion.token_ids)
            if completion.finish_reason is FinishReason.ERROR:
                log.error("a request failed in the engine: %s", output.error, extra={"request_id": self.answer_id})
                raise ApiError(500, "The engine could not finish this; the server's log says why.", kind=SERVER)
        if output.is_finished:
            self._record(self.prepared[output.request_id], output, self._num_output_tokens[index])
        return index, output

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
