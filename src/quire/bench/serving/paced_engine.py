"""A server of an engine without a model, so that what is measured is the server: every request that runs gets a token
each step, and the steps are so far apart that all of them together get `tokens_per_s`. It begins when `num_streams`
requests are there.

A token's text is the moment at which it was made, in microseconds of the system's monotonic clock, which every process
of the machine reads: whoever gets it knows how long it was under way.

    python -m quire.bench.serving.paced_engine 8001 256 11000
"""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple, cast

from quire.cache.token_budget import NO_LIMIT, TokenBudget, Tokens
from quire.engine.async_engine import AsyncEngine
from quire.engine.engine import LLMEngine
from quire.engine.outputs import CompletionOutput, EngineStats, OutputKind, RequestMetrics, RequestOutput
from quire.engine.prompts import PreparedRequest, Prompt, RequestChecker
from quire.models.embedded import EMBEDDED_MODEL
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams
from quire.sequence import FinishReason

MAX_MODEL_LEN = 1 << 16
MAX_NUM_SEQS = 4096
TOKEN_ID = 5
WAIT_S = 0.05


def stamp() -> str:
    return f"{time.monotonic_ns() // 1000} "


class _Running(NamedTuple):
    prepared: PreparedRequest
    metrics: RequestMetrics
    on_start: Callable[[], None]


class PacedEngine:
    """What `AsyncEngine` asks of an engine. At 0 tokens a second it makes them as fast as it is asked to."""

    max_model_len = MAX_MODEL_LEN

    def __init__(self, num_streams: int, tokens_per_s: float) -> None:
        self.tokenizer = Tokenizer.from_directory(EMBEDDED_MODEL)
        self.budget = TokenBudget(Tokens(NO_LIMIT, NO_LIMIT, NO_LIMIT))
        self._checker = RequestChecker(
            self.tokenizer, vocab_size=1024, max_model_len=MAX_MODEL_LEN, max_num_seqs=MAX_NUM_SEQS
        )
        self._num_awaited = num_streams
        self._tokens_per_s = tokens_per_s
        self._due_s = 0.0
        self._running: dict[str, _Running] = {}
        self._num_made: dict[str, int] = {}
        self._num_steps = 0

    @property
    def has_unfinished(self) -> bool:
        return bool(self._running)

    def prepare(self, prompt: Prompt, params: SamplingParams | None = None) -> PreparedRequest:
        return self._checker.prepare(prompt, params or SamplingParams())

    def add_request(
        self, request_id: str, prepared: PreparedRequest, *, output_kind: OutputKind, on_start: Callable[[], None]
    ) -> None:
        assert output_kind is OutputKind.DELTA, "only streams are paced"
        self.budget.release(request_id)
        self._running[request_id] = _Running(prepared, RequestMetrics(arrival_s=time.monotonic()), on_start)
        self._num_made[request_id] = 0

    def hold_until_s(self) -> float | None:
        return time.monotonic() + WAIT_S if self._num_awaited else None

    def step(self) -> list[RequestOutput]:
        if len(self._running) < self._num_awaited:
            return []
        self._num_awaited = 0
        self._wait()
        self._num_steps += 1
        return [self._next(request_id, running) for request_id, running in list(self._running.items())]

    def abort(self, request_id: str) -> None:
        self._running.pop(request_id, None)

    def stats(self) -> EngineStats:
        return EngineStats(len(self._running), 0, 1, 1, self._num_steps, 0, 0, 0, 0)

    def close(self) -> None:
        self._running.clear()

    def _wait(self) -> None:
        """For the time of the next step. A step that comes late takes nothing from the pace of those after it."""
        if self._tokens_per_s:
            now_s = time.monotonic()
            self._due_s = self._due_s or now_s
            time.sleep(max(0.0, self._due_s - now_s))
            self._due_s = max(self._due_s + len(self._running) / self._tokens_per_s, now_s)

    def _next(self, request_id: str, running: _Running) -> RequestOutput:
        prepared, metrics = running.prepared, running.metrics
        self._num_made[request_id] += 1
        is_last = self._num_made[request_id] >= prepared.max_tokens
        now_s = time.monotonic()
        if metrics.first_token_s is None:
            metrics.first_scheduled_s = metrics.first_token_s = now_s
            running.on_start()
        if is_last:
            metrics.finished_s = now_s
            del self._running[request_id]
        reason = FinishReason.LENGTH if is_last else None
        token = CompletionOutput(0, stamp(), [TOKEN_ID], finish_reason=reason)
        return RequestOutput(request_id, prepared.text, prepared.token_ids, [token], is_last, metrics=metrics)


def main(port: int, num_streams: int, tokens_per_s: float) -> None:
    from quire.server import run
    from quire.server.settings import ServerSettings
    from quire.server.state import ServedModel

    def load() -> AsyncEngine:
        return AsyncEngine(cast(LLMEngine, PacedEngine(num_streams, tokens_per_s)))

    run.serve(load, ServedModel(("paced",)), ServerSettings(port=port))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
