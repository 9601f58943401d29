"""Runs one scheduled step: arrays in, chosen tokens out.

`ModelExecutor` is the part that every rank of a tensor-parallel group runs, on the same `ModelInput`; `ModelRunner` is
rank 0's, which also builds the input and samples. Neither knows requests or text.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from quire.cache.paged_allocator import Move
from quire.engine.batch import InputBuilder, Int64, ModelInput, num_scored_prompt_tokens
from quire.engine.graphs import DecodeGraphs
from quire.engine.sampler import Sampler, SamplerOutput, TokenLogprobs, prompt_logprobs
from quire.kernels import copy_blocks
from quire.layers.attention import AttentionInput
from quire.memory.buffers import prefer_huge_pages, release_pages, trim_heap
from quire.memory.device import set_threads
from quire.scheduling.scheduler import ScheduledBatch
from quire.sequence import Sequence

PROMPT_LOGITS_ROWS = 128
"""Prompt positions scored at once: with a large vocabulary their logits are most of a step's memory."""


class Model(Protocol):
    """What the executor asks of a network."""

    def __call__(self, token_ids: Tensor, positions: Tensor, kv: Tensor, attention: AttentionInput) -> Tensor: ...

    def compute_logits(self, hidden: Tensor) -> Tensor: ...


class Executor(Protocol):
    def execute(
        self, inputs: ModelInput, on_prompt_logits: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]: ...

    def resize(self, moves: Int64, num_blocks: int) -> None: ...

    def close(self) -> None: ...


class ModelExecutor:
    """A model and its KV cache `[N, L, 2, K, B, E]`. `captures`: decode steps are recorded and replayed."""

    def __init__(self, model: Model, kv: Tensor, *, num_threads: int, captures: bool = False) -> None:
        prefer_huge_pages(kv.data_ptr(), kv.nbytes)
        self._model = model
        self._kv = kv
        self._graphs = DecodeGraphs(model, kv) if captures else None
        self._num_threads = num_threads
        self._thread_id: int | None = None

    def resize(self, moves: Int64, num_blocks: int) -> None:
        """Makes the copies `moves` `[C, 2]`, and gives the memory of all blocks from `num_blocks` on back to the
        system. The address range stays, so growing again costs nothing until it is written."""
        if len(moves):
            copy_blocks(self._kv, torch.from_numpy(moves))
        surplus = self._kv[num_blocks:]
        release_pages(surplus.data_ptr(), surplus.nbytes)

    def close(self) -> None:
        """Gives the weights and the cache back; nothing can be executed after it."""
        del self._model, self._kv, self._graphs
        trim_heap()

    @torch.inference_mode()
    def execute(
        self, inputs: ModelInput, on_prompt_logits: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The logits of `sample_rows` and the hidden states of `pooled_rows`. Logits of `prompt_rows` go to the
        callback, a slice at a time, in order."""
        if threading.get_ident() != self._thread_id:  # OpenMP keeps the number of threads per calling thread
            set_threads(self._num_threads)
            self._thread_id = threading.get_ident()
        if len(inputs.copies):
            copy_blocks(self._kv, torch.from_numpy(inputs.copies))
        hidden_TD = self._graphs.run(inputs) if self._graphs is not None else None
        if hidden_TD is None:
            hidden_TD = self._forward(inputs)
        for start in range(0, len(inputs.prompt_rows), PROMPT_LOGITS_ROWS):
            rows = torch.from_numpy(inputs.prompt_rows[start : start + PROMPT_LOGITS_ROWS])
            logits_RV = self._model.compute_logits(hidden_TD[rows])
            if on_prompt_logits is not None:
                on_prompt_logits(logits_RV)
        sampled_RD = hidden_TD[torch.from_numpy(inputs.sample_rows)]
        return self._model.compute_logits(sampled_RD), hidden_TD[torch.from_numpy(inputs.pooled_rows)]

    def _forward(self, inputs: ModelInput) -> Tensor:
        attention = AttentionInput(
            slots=torch.from_numpy(inputs.slots),
            block_tables=torch.from_numpy(inputs.block_tables),
            context_lens=torch.from_numpy(inputs.context_lens),
            query_starts=torch.from_numpy(inputs.query_starts),
        )
        return self._model(torch.from_numpy(inputs.token_ids), torch.from_numpy(inputs.positions), self._kv, attention)


@dataclass(slots=True)
class StepResult:
    """What a step gave, in the order of the batch's `samples` and `pooled`."""

    sampled: SamplerOutput
    pooled: Tensor
    prompt_logprobs: dict[int, tuple[int, list[TokenLogprobs]]]
    """By seq_id, for the prompt tokens that this step scored: the position of the first, and their scores."""


class ModelRunner:
    def __init__(self, executor: Executor, builder: InputBuilder, sampler: Sampler) -> None:
        self._executor = executor
        self._builder = builder
        self._sampler = sampler

    @torch.inference_mode()
    def run(self, batch: ScheduledBatch) -> StepResult:
        inputs = self._builder.build(batch)
        scorer = _PromptScorer(batch) if len(inputs.prompt_rows) else None
        logits, pooled = self._executor.execute(inputs, scorer)
        sampled = self._sampler.sample(logits, batch.samples)
        return StepResult(sampled, pooled, scorer.by_sequence() if scorer is not None else {})

    def resize(self, moves: list[Move], num_blocks: int) -> None:
        """Blocks were moved down, and those from `num_blocks` on are given up."""
        self._builder.forget_tables()
        self._executor.resize(np.array(moves, dtype=np.int64).reshape(-1, 2), num_blocks)

    def release(self, seq: Sequence) -> None:
        """The sequence will not run again."""
        self._builder.release(seq)


class _PromptScorer:
    """Takes the logits of prompt positions as they come and sorts their scores out by sequence."""

    def __init__(self, batch: ScheduledBatch) -> None:
        self._spans: list[tuple[Sequence, int, int]] = []
        self._next_ids: list[int] = []
        self._scores: list[TokenLogprobs] = []
        for seq, num_new in zip(batch.sequences, batch.num_new_tokens, strict=True):
            if seq.params.prompt_logprobs is not None:
                start, count = seq.num_computed_tokens, num_scored_prompt_tokens(seq, num_new)
                self._spans.append((seq, start + 1, count))
                self._next_ids += seq.token_ids[start + 1 : start + 1 + count]
        self._num = max(seq.params.prompt_logprobs or 0 for seq, _, _ in self._spans)

    def __call__(self, logits: Tensor) -> None:
        done = len(self._scores)
        next_ids = self._next_ids[done : done + len(logits)]
        self._scores += prompt_logprobs(logits, next_ids, self._num)

    def by_sequence(self) -> dict[int, tuple[int, list[TokenLogprobs]]]:
        start, result = 0, {}
        for seq, position, count in self._spans:
            wanted = seq.params.prompt_logprobs or 0
            scores = self._scores[start : start + count]
            result[seq.seq_id] = position, [replace(score, top=score.top[:wanted]) for score in scores]
            start += count
        return result
