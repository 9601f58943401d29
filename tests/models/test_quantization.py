"""A packed model computes what the same model computes whose matrices were rounded the same way, and stays close to
the one it was packed from. What is packed is no longer held in its old form."""

from pathlib import Path

import pytest
import torch

from quire import LLM, SamplingParams, kernels
from quire.errors import ConfigError
from quire.layers.embedding import ParallelLMHead
from quire.layers.linear import Linear
from quire.models import load
from quire.parallel.group import SingleGroup
from tests.models.paged import chunked_logprobs
from tests.models.tiny import write_tiny

PROMPTS = [[5, 9, 200, 31, 7, 7, 90], list(range(40, 75)), [3]]


def loaded(path: Path, quantization: str | None):
    return load(path, dtype="float32", group=SingleGroup(), quantization=quantization)


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize(("quantization", "tolerance"), [("int8", 0.1), ("int4", 1.0)])
def test_close_to_the_model_it_was_packed_from(
    tmp_path: Path, quantization: str, tolerance: float, is_tied: bool
) -> None:
    write_tiny(tmp_path, "qwen3", std=0.1, tie_word_embeddings=is_tied)
    exact, packed = loaded(tmp_path, None), loaded(tmp_path, quantization)
    expected = chunked_logprobs(exact.model, exact.config, PROMPTS)
    for got, want in zip(chunked_logprobs(packed.model, packed.config, PROMPTS), expected, strict=True):
        assert (got - want).abs().max() < tolerance
        assert not torch.equal(got, want)
    assert exact.fingerprint != packed.fingerprint


def test_every_matrix_but_the_embedding_is_packed_and_nothing_is_held_twice(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen2", tie_word_embeddings=True)
    model = loaded(tmp_path, "int8").model
    for module in model.modules():
        if isinstance(module, Linear):
            assert isinstance(module.weight.packed, kernels.Int8Weight)
            assert module.weight.numel() == 0
        if isinstance(module, ParallelLMHead):
            assert isinstance(module.weight.packed, kernels.Int8Weight)
    assert model.model.embed_tokens.weight.numel() == 320 * 64


def test_int4_needs_whole_groups(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3", intermediate_size=100)
    with pytest.raises(ConfigError, match=r"a layer with 100 inputs. Use 'int8'"):
        loaded(tmp_path, "int4")


def test_through_the_engine_and_over_two_ranks(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3", std=0.1)
    prompts = [{"prompt_token_ids": prompt} for prompt in PROMPTS]
    params = SamplingParams(temperature=0, max_tokens=4, logprobs=0)
    by_ranks = []
    for num_ranks in (1, 2):
        with LLM(tmp_path, quantization="int8", tensor_parallel_size=num_ranks, num_threads=1) as llm:
            by_ranks.append(llm.generate(prompts, params, use_tqdm=False))
    for one, two in zip(*by_ranks, strict=True):
        # Each rank scales its own slice of a row, so the last bits may differ.
        assert one.outputs[0].logprobs[0].logprob == pytest.approx(two.outputs[0].logprobs[0].logprob, abs=0.05)
