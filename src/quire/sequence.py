"""What do the scheduler and the cache know of one generation?

Text, log-probabilities and random state live with those who make them (engine/).

    token_ids    [ prompt ……………………………… | output ………………… ]
                 0                 num_prompt_tokens      num_tokens
    KV           [ in the cache ……………… | to be computed … ]
                 0          num_computed_tokens       num_tokens

A running sequence with one token left to compute is decoding; with more it is prefilling. After preemption
`num_computed_tokens` is 0 and prompt and output are prefilled again.
"""

from enum import Enum, StrEnum

from quire.sampling_params import SamplingParams


class SequenceStatus(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


class FinishReason(StrEnum):
    """Why a sequence ended. The values are the ones of the OpenAI API, and `abort`."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"


class Sequence:
    """One generation. Written by the scheduler, the block manager and the engine loop, all in one thread."""

    __slots__ = (
        "arrival_s",
        "block_digests",
        "block_table",
        "cache_salt",
        "finish_reason",
        "first_scheduled_s",
        "first_token_s",
        "index",
        "is_pooling",
        "max_tokens",
        "num_cached_tokens",
        "num_computed_tokens",
        "num_forks",
        "num_preemptions",
        "num_prompt_tokens",
        "params",
        "request_id",
        "row",
        "seq_id",
        "status",
        "stop_reason",
        "token_ids",
        "turn_s",
    )

    def __init__(
        self,
        seq_id: int,
        request_id: str,
        prompt_token_ids: list[int],
        params: SamplingParams,
        *,
        max_tokens: int,
        arrival_s: float,
        cache_salt: str = "",
        is_pooling: bool = False,
    ) -> None:
        self.seq_id = seq_id
        self.request_id = request_id
        self.index = 0
        """Which of the request's n completions."""
        self.token_ids = list(prompt_token_ids)
        self.num_prompt_tokens = len(prompt_token_ids)
        self.params = params
        self.max_tokens = max_tokens
        """Output tokens at most: the request's wish, cut to what the context holds."""
        self.is_pooling = is_pooling
        """Wants the last hidden state of its prompt, and no token."""
        self.cache_salt = cache_salt
        """Sequences with different salts never share blocks."""
        self.num_forks = params.n - 1
        """Completions still to be forked off when the prompt is computed."""

        self.num_computed_tokens = 0
        self.num_cached_tokens = 0
        """Of the first admission's tokens, those found in the prefix cache."""
        self.block_table: list[int] = []
        self.block_digests: list[bytes] = []
        """Digest chain of the full blocks of `token_ids`, extended by the block manager as blocks fill."""
        self.row: int | None = None
        """Its row in the runner's persistent arrays while running."""

        self.status = SequenceStatus.WAITING
        self.finish_reason: FinishReason | None = None
        self.stop_reason: int | str | None = None
        """The stop string or stop token id that ended it; None for end-of-sequence and length."""
        self.arrival_s = arrival_s
        self.first_scheduled_s: float | None = None
        self.first_token_s: float | None = None
        self.num_preemptions = 0
        self.turn_s: float | None = None
        """When its turn comes among those whose deadline cannot be met; given by the `slo` scheduling policy."""

    def __len__(self) -> int:
        return len(self.token_ids)

    def __repr__(self) -> str:
        return (
            f"Sequence({self.seq_id}, request={self.request_id!r}, {self.status.value}, "
            f"prompt={self.num_prompt_tokens}, output={self.num_output_tokens}, "
            f"computed={self.num_computed_tokens}, blocks={len(self.block_table)})"
        )

    @property
    def num_tokens(self) -> int:
        return len(self.token_ids)

    @property
    def num_output_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens

    @property
    def num_uncomputed_tokens(self) -> int:
        return len(self.token_ids) - self.num_computed_tokens

    @property
    def output_token_ids(self) -> list[int]:
        return self.token_ids[self.num_prompt_tokens :]

    @property
    def prompt_token_ids(self) -> list[int]:
        return self.token_ids[: self.num_prompt_tokens]

    @property
    def is_finished(self) -> bool:
        return self.status is SequenceStatus.FINISHED

    @property
    def uses_prefix_cache(self) -> bool:
        """Prompt log-probabilities need every prompt position computed."""
        return self.params.prompt_logprobs is None

    def fork(self, seq_id: int, index: int) -> "Sequence":
        """A copy that shares nothing mutable. The block manager shares the blocks (`BlockManager.fork`)."""
        child = Sequence(
            seq_id,
            self.request_id,
            self.token_ids,
            self.params,
            max_tokens=self.max_tokens,
            arrival_s=self.arrival_s,
            cache_salt=self.cache_salt,
        )
        child.index = index
        child.num_prompt_tokens = self.num_prompt_tokens
        child.num_forks = 0
        child.num_computed_tokens = self.num_computed_tokens
        child.num_cached_tokens = self.num_cached_tokens
        child.block_digests = list(self.block_digests)
        child.status = self.status
        child.first_scheduled_s = self.first_scheduled_s
        child.num_preemptions = self.num_preemptions
        return child
