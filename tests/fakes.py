"""Stand-ins that keep the meaning: an executor whose "attention" is a lookup, so that every token counts.

The fake KV cache remembers which token was stored in which slot at which position. What may follow a context is a hash
of all its tokens, read back through the block tables: a wrong table, a block shared or overwritten by mistake, a
missing copy, a stale slot, all change what is generated, and `allowed_next` tells what was right.
"""

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from quire.cache.events import BlockObserver
from quire.config import EngineConfig
from quire.engine.assembly import KVPlan, connect
from quire.engine.batch import ModelInput
from quire.engine.engine import LLMEngine

VOCAB_SIZE = 97
NUM_ALLOWED = 4


def allowed_next(context: Sequence[int]) -> list[int]:
    """The tokens that may follow; greedy takes the smallest."""
    digest = hashlib.sha256(np.asarray(context, dtype=np.int64).tobytes()).digest()
    return sorted({3 + byte % (VOCAB_SIZE - 3) for byte in digest[:NUM_ALLOWED]})


def greedy(prompt: Sequence[int], num_tokens: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(num_tokens):
        tokens.append(allowed_next(tokens)[0])
    return tokens[len(prompt) :]


class FakeExecutor:
    """Checks, at every step, that each sequence reads exactly the positions 0…n-1 of one context."""

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.block_size = block_size
        self.stored = np.full((num_blocks * block_size, 2), -1, dtype=np.int64)  # (token, position) by slot
        self.num_steps = 0
        self.num_tokens = 0
        self.fail_at_step: int | None = None
        self.failure: Exception = RuntimeError("the fake model failed")

    def execute(
        self, inputs: ModelInput, on_prompt_logits: Callable[[torch.Tensor], None] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.num_steps += 1
        self.num_tokens += len(inputs.token_ids)
        if self.num_steps == self.fail_at_step:
            raise self.failure
        blocks = self.stored.reshape(-1, self.block_size, 2)
        for source, target in inputs.copies:
            blocks[target] = blocks[source]
        assert len(set(inputs.slots.tolist())) == len(inputs.slots), "two tokens written to one slot"
        self.stored[inputs.slots] = np.stack([inputs.token_ids, inputs.positions], axis=1)
        contexts = self._contexts(inputs)
        if on_prompt_logits is not None:
            on_prompt_logits(_logits([contexts[row] for row in inputs.prompt_rows]))
        pooled = [[float(sum(contexts[row])), float(len(contexts[row]))] for row in inputs.pooled_rows]
        return _logits([contexts[row] for row in inputs.sample_rows]), torch.tensor(pooled).reshape(-1, 2)

    def resize(self, moves: np.ndarray, num_blocks: int) -> None:
        blocks = self.stored.reshape(-1, self.block_size, 2)
        for source, target in moves:
            blocks[target] = blocks[source]
        blocks[num_blocks:] = -1

    def close(self) -> None: ...

    def _contexts(self, inputs: ModelInput) -> list[list[int]]:
        """For each token of the step, the context that ends with it, as read from the cache."""
        contexts = []
        for index, (start, end) in enumerate(zip(inputs.query_starts, inputs.query_starts[1:], strict=False)):
            length = int(inputs.context_lens[index])
            at = np.arange(length)
            slots = inputs.block_tables[index][at // self.block_size] * self.block_size + at % self.block_size
            tokens, positions = self.stored[slots].T
            assert positions.tolist() == at.tolist(), "a sequence reads what is not its own"
            num_new = int(end - start)
            contexts += [tokens[: length - num_new + i + 1].tolist() for i in range(num_new)]
        return contexts


def _logits(contexts: list[list[int]]) -> torch.Tensor:
    logits = torch.full((len(contexts), VOCAB_SIZE), -1e9)
    for row, context in enumerate(contexts):
        logits[row, allowed_next(context)] = 0.0
    return logits


def fake_engine(
    *,
    num_blocks: int = 64,
    block_size: int = 4,
    max_model_len: int = 64,
    eos: int | None = None,
    clock: Callable[[], float] = time.monotonic,
    observer: BlockObserver | None = None,
    **knobs: object,
) -> tuple[LLMEngine, FakeExecutor]:
    """An engine without a tokenizer around a FakeExecutor."""
    config = EngineConfig.from_kwargs({"max_num_seqs": 8, "max_num_batched_tokens": 32, **knobs})
    executor = FakeExecutor(num_blocks, block_size)
    plan = KVPlan((num_blocks, 1, 2, 1, block_size, 1), torch.float32, min(max_model_len, num_blocks * block_size))
    eos_token_ids = frozenset() if eos is None else frozenset({eos})
    engine = connect(
        executor,
        None,
        plan,
        config,
        vocab_size=VOCAB_SIZE,
        eos_token_ids=eos_token_ids,
        clock=clock,
        observer=observer,
    )
    return engine, executor
