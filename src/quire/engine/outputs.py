"""What comes back from the engine, shaped as vLLM's users know it."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from quire.engine.sampler import TokenLogprobs
from quire.sequence import FinishReason


class OutputKind(Enum):
    """What each step's output of a request holds."""

    CUMULATIVE = "cumulative"
    """Everything so far."""
    DELTA = "delta"
    """What is new since the last output."""
    FINAL = "final"
    """Nothing until the request is finished, then everything."""


@dataclass(slots=True)
class RequestMetrics:
    """Times in seconds of the engine's monotonic clock."""

    arrival_s: float
    first_scheduled_s: float | None = None
    first_token_s: float | None = None
    finished_s: float | None = None
    num_cached_tokens: int = 0
    """Prompt tokens whose KV was found in the prefix cache."""
    num_preemptions: int = 0

    @property
    def time_to_first_token_s(self) -> float | None:
        return None if self.first_token_s is None else self.first_token_s - self.arrival_s


@dataclass(slots=True)
class CompletionOutput:
    """One of a request's n completions."""

    index: int
    text: str
    token_ids: list[int]
    """The tokens that were generated, the one that ended the sequence included."""
    logprobs: list[TokenLogprobs] | None = None
    cumulative_logprob: float | None = None
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    """The stop string or stop token id that ended it, or the message of an error."""

    @property
    def is_finished(self) -> bool:
        return self.finish_reason is not None


@dataclass(slots=True)
class RequestOutput:
    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput] = field(default_factory=list)
    is_finished: bool = False
    prompt_logprobs: list[TokenLogprobs | None] | None = None
    """For each prompt token its log-probability given those before it; None for the first."""
    metrics: RequestMetrics | None = None

    @property
    def error(self) -> str | None:
        """Why the engine could not finish it; None when it did."""
        failed = [c for c in self.outputs if c.finish_reason is FinishReason.ERROR]
        return str(failed[0].stop_reason) if failed else None


@dataclass(slots=True)
class EmbeddingOutput:
    """The unit-length embedding of one text."""

    request_id: str
    prompt_token_ids: list[int]
    embedding: NDArray[np.float32]
    error: str | None = None

    @property
    def is_finished(self) -> bool:
        return True


Output = RequestOutput | EmbeddingOutput


@dataclass(slots=True)
class EngineStats:
    """Counters since the start, and what is there now."""

    num_running: int
    num_waiting: int
    num_blocks: int
    num_free_blocks: int
    num_steps: int
    num_prefill_tokens: int
    num_decode_tokens: int
    num_cached_tokens: int
    num_preemptions: int
