"""Recorded decode steps give what the model gives, to the bit, and call it once per size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from quire import LLM, SamplingParams, kernels
from quire.engine.batch import ModelInput
from quire.engine.graphs import MAX_ROWS, MIN_TABLE_WIDTH, DecodeGraphs
from quire.layers.attention import AttentionInput
from tests.models.tiny import write_tiny

BLOCK_SIZE = 4
KV_HEADS, HEAD_DIM = 2, 8


class Attender:
    """A model of one layer: token ids and what was stored under their sequences before."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.table = torch.randn(50, KV_HEADS * HEAD_DIM)
        self.kv = torch.randn(200, 1, 2, KV_HEADS, BLOCK_SIZE, HEAD_DIM)
        self.num_calls = 0

    def __call__(self, token_ids: Tensor, positions: Tensor, kv: Tensor, attention: AttentionInput) -> Tensor:
        self.num_calls += 1
        heads = kernels.embedding(token_ids, self.table).view(-1, KV_HEADS, HEAD_DIM)
        keys, values = kv[:, 0].unbind(1)
        kernels.store_kv(heads, heads, keys, values, attention.slots)
        return kernels.paged_attention(heads, keys, values, attention, 0.3).view(len(token_ids), -1)


def step(rng: np.random.Generator, num_new: list[int], num_blocks: int) -> ModelInput:
    """Sequences with tables of `num_blocks`, ending anywhere in the last block."""
    num_seqs, width = len(num_new), num_blocks
    tables = rng.permutation(200)[: num_seqs * width].reshape(num_seqs, width).astype(np.int32)
    context_lens = (width - 1) * BLOCK_SIZE + rng.integers(1, BLOCK_SIZE + 1, num_seqs).astype(np.int32)
    positions = np.concatenate([np.arange(n - new, n) for n, new in zip(context_lens, num_new, strict=True)])
    owner = np.repeat(np.arange(num_seqs), num_new)
    none = np.empty(0, np.int64)
    return ModelInput(
        token_ids=rng.integers(0, 50, len(owner)),
        positions=positions,
        slots=tables[owner, positions // BLOCK_SIZE] * BLOCK_SIZE + positions % BLOCK_SIZE,
        block_tables=tables,
        context_lens=context_lens,
        query_starts=np.concatenate([[0], np.cumsum(num_new)]).astype(np.int32),
        sample_rows=none,
        pooled_rows=none,
        prompt_rows=none,
        copies=none.reshape(0, 2),
    )


def directly(model: Attender, inputs: ModelInput, kv: Tensor) -> Tensor:
    attention = AttentionInput(
        torch.from_numpy(inputs.slots),
        torch.from_numpy(inputs.block_tables),
        torch.from_numpy(inputs.context_lens),
        torch.from_numpy(inputs.query_starts),
    )
    return model(torch.from_numpy(inputs.token_ids), torch.from_numpy(inputs.positions), kv, attention)


def test_every_step_of_a_size_but_the_first_is_a_replay() -> None:
    rng, recorded, oracle = np.random.default_rng(0), Attender(), Attender()
    graphs = DecodeGraphs(recorded, recorded.kv)
    sizes = [(1, 3), (1, 5), (4, 2), (1, 16), (4, 9), (4, 17), (1, 1), (4, 30), (7, 1), (1, 33)]
    for num_seqs, num_blocks in sizes:
        inputs = step(rng, [1] * num_seqs, num_blocks)
        out = graphs.run(inputs)
        assert out is not None
        assert torch.equal(out, directly(oracle, inputs, oracle.kv))
        assert torch.equal(recorded.kv, oracle.kv)
    assert recorded.num_calls == len({(1, 16), (1, 64), (4, 16), (4, 32), (7, 16)})
    assert MIN_TABLE_WIDTH == 16


def test_prompts_and_large_batches_are_not_recorded() -> None:
    rng, model = np.random.default_rng(0), Attender()
    graphs = DecodeGraphs(model, model.kv)
    assert graphs.run(step(rng, [1, 2], 1)) is None
    assert graphs.run(step(rng, [1] * (MAX_ROWS + 1), 1)) is None
    assert model.num_calls == 0
    assert graphs.run(step(rng, [1] * MAX_ROWS, 1)) is not None


def test_a_model_that_needs_torch_is_left_alone() -> None:
    rng, attender = np.random.default_rng(0), Attender()
    graphs = DecodeGraphs(lambda *args: attender(*args) * 2, attender.kv)
    assert graphs.run(step(rng, [1], 1)) is None
    assert graphs.run(step(rng, [1], 1)) is None
    assert attender.num_calls == 1, "it is not tried again"


@pytest.mark.parametrize(
    ("architecture", "knobs"),
    [
        ("qwen3", {"dtype": "bfloat16"}),
        ("qwen2", {"dtype": "bfloat16", "kv_cache_dtype": "int8"}),
        ("llama", {"quantization": "int8"}),
        ("mistral", {"quantization": "int4"}),
    ],
)
def test_the_same_tokens_and_scores_as_eager(tmp_path: Path, architecture: str, knobs: dict[str, str]) -> None:
    overrides = {"sliding_window": 24} if architecture == "mistral" else {}
    write_tiny(tmp_path, architecture, **overrides)
    prompts = [list(range(3, 3 + length)) for length in (1, 5, 16, 40, 60)]
    params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True, logprobs=0) for n in (16, 5, 10, 12, 20)]
    told = []
    for enforce_eager in (True, False):
        with LLM(tmp_path, enforce_eager=enforce_eager, block_size=4, max_model_len=200, **knobs) as llm:
            outputs = llm.generate(prompts, params, use_tqdm=False)
            told.append([(o.outputs[0].token_ids, o.outputs[0].cumulative_logprob) for o in outputs])
    assert told[0] == told[1]
