"""One decode step of many sequences with long contexts, KV in bfloat16 beside int8.

What such a context costs a step is the reading of its KV, which does not ask how the KV came to be there: one block is
computed from a prompt and copied to all the others, since prefill would take minutes. No block is shared between
sequences. Model, kernels and recorded step are those of the engine.
"""

from time import perf_counter
from typing import cast

import numpy as np
import torch

from quire.bench.generation.random_model import random_model
from quire.bench.generation.workloads import GIB, HIGHEST_ID
from quire.bench.harness import Case, Measurement, Param
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.engine.batch import Int32, Int64, ModelInput
from quire.engine.engine import LLMEngine
from quire.engine.runner import ModelExecutor
from quire.errors import CapacityError
from quire.kernels import copy_blocks

BLOCK = 16


def cases(
    *,
    model: str = "",
    weights: str = "int8",
    kv_cache_dtypes: str = "auto,int8",
    sequences: int = 16,
    tokens: int = 4096,
    steps: int = 5,
    threads: int = 0,
    quick: bool = False,
) -> list[Case]:
    if quick:
        sequences, tokens, steps = 2, 64, 1
    made = []
    for kind in kv_cache_dtypes.split(","):
        config = EngineConfig(
            dtype="bfloat16",
            quantization=None if weights == "bf16" else weights,
            kv_cache_dtype=kind,
            max_model_len=tokens,
            max_num_seqs=sequences,
            block_size=BLOCK,
            num_threads=threads or None,
        )
        step = DecodeStep(model, config, tokens, steps)
        params: dict[str, Param] = {"kv": kind, "weights": weights, "sequences": sequences, "tokens": tokens}
        made.append(Case("decode_step", step.run, params, close=step.close))
    return made


class DecodeStep:
    """The last step of sequences that fill their contexts, over and over; the engine is made when it first runs."""

    def __init__(self, model: str, config: EngineConfig, length: int, steps: int) -> None:
        self._model = model
        self._config = config
        self._length = length
        self._steps = steps
        self._made: tuple[LLMEngine, ModelExecutor, ModelInput] | None = None

    def run(self) -> Measurement:
        if self._made is None:
            engine = assemble(self._model or random_model(), self._config)
            executor = cast(ModelExecutor, engine._runner._executor)
            self._made = engine, executor, self._fill(executor)
        _, executor, inputs = self._made
        begin_s = perf_counter()
        for _ in range(self._steps):
            executor.execute(inputs)
        step_s = (perf_counter() - begin_s) / self._steps
        return Measurement({"step_ms": 1e3 * step_s, "output_tokens_per_s": self._config.max_num_seqs / step_s})

    def close(self) -> None:
        if self._made is not None:
            self._made[0].close()
        self._made = None

    def _fill(self, executor: ModelExecutor) -> ModelInput:
        """KV in every block, and the input of a step in which each sequence reads its own."""
        count, length, kv = self._config.max_num_seqs, self._length, executor._kv
        width = -(-length // BLOCK)
        if len(kv) < count * width:
            needed, allowed = (blocks * kv[0].numel() * kv.itemsize / GIB for blocks in (count * width, len(kv)))
            raise CapacityError(
                f"{count} sequences of {length:,} tokens need {needed:.1f} GiB of KV and the memory allows "
                f"{allowed:.1f}; ask for fewer --sequences or --tokens."
            )
        tables = np.arange(count * width, dtype=np.int32).reshape(count, width)
        executor.execute(_inputs(tables[:1, :1], np.zeros(1, np.int64), BLOCK))
        others = torch.arange(1, count * width)
        copy_blocks(kv, torch.stack([torch.zeros_like(others), others], dim=1))
        return _inputs(tables, np.full(count, length - 1), 1)


def _inputs(tables: Int32, num_computed: Int64, num_new: int) -> ModelInput:
    """So many new tokens of each sequence, of which so many are computed: in their blocks."""
    count = len(tables)
    positions = (num_computed[:, None] + np.arange(num_new)).reshape(-1)
    owners = np.repeat(np.arange(count), num_new)
    none = np.zeros(0, np.int64)
    return ModelInput(
        token_ids=np.random.default_rng(0).integers(10, HIGHEST_ID, count * num_new),
        positions=positions,
        slots=tables[owners, positions // BLOCK].astype(np.int64) * BLOCK + positions % BLOCK,
        block_tables=tables,
        context_lens=(num_computed + num_new).astype(np.int32),
        query_starts=np.arange(count + 1, dtype=np.int32) * num_new,
        sample_rows=np.arange(count, dtype=np.int64) * num_new + num_new - 1,
        pooled_rows=none,
        prompt_rows=none,
        copies=none.reshape(0, 2),
    )
