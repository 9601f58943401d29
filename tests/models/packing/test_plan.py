"""A packed model computes what the same model computes whose matrices were rounded the same way, and stays close to
the one it was packed from. What is packed is no longer held in its old form."""

from pathlib import Path

import pytest
import torch

from quire import LLM, SamplingParams, kernels
from quire.errors import ConfigError
from quire.layers.embedding import ParallelLMHead
from quire.layers.linear import Linear
from quire.layers.parameter import Weight
from quire.models import CausalLM, load
from quire.parallel.group import SingleGroup
from tests.models.paged import chunked_logprobs
from tests.models.tiny import tiny_model, write_tiny, write_tiny_gguf

PROMPTS = [[5, 9, 200, 31, 7, 7, 90], list(range(40, 75)), [3]]


def loaded(path: Path, quantization: str | None, **kwargs):
    return load(path, dtype="float32", group=SingleGroup(), quantization=quantization, **kwargs)


def weights_of(model: CausalLM) -> dict[str, Weight]:
    return {name: weight for name, weight in model.named_parameters() if isinstance(weight, Weight)}


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


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_the_second_start_maps_what_the_first_packed(tmp_path: Path, quantization: str, is_tied: bool) -> None:
    write_tiny(tmp_path / "m", "llama", tie_word_embeddings=is_tied)
    plain = loaded(tmp_path / "m", quantization)
    for _ in range(2):
        again = loaded(tmp_path / "m", quantization, cache=tmp_path / "cache")
        for name, weight in weights_of(again.model).items():
            other = weights_of(plain.model)[name]
            assert torch.equal(weight, other)
            assert (weight.packed is None) == (other.packed is None)
            if weight.packed is not None and other.packed is not None:
                assert torch.equal(weight.packed.data, other.packed.data)
                assert lies_in(weight.packed.data, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1


def lies_in(tensor: torch.Tensor, directory: Path) -> bool:
    with open("/proc/self/maps") as maps:
        for line in maps:
            begin, end = (int(n, 16) for n in line.split()[0].split("-"))
            if begin <= tensor.data_ptr() < end:
                return str(directory) in line
    return False


def test_other_weights_in_the_same_place_are_packed_anew(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_tiny(tmp_path / "m", "qwen3", seed=seed)
        cached = loaded(tmp_path / "m", "int8", cache=tmp_path / "cache").model
        expected = loaded(tmp_path / "m", "int8").model
        assert torch.equal(cached.lm_head.weight.packed.data, expected.lm_head.weight.packed.data)
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
@pytest.mark.parametrize(
    ("tensor_type", "kind"), [("Q8_0", kernels.Int8Weight), ("Q4_0", kernels.Int4Weight), ("Q5_1", kernels.Int8Weight)]
)
def test_gguf_types_are_packed_from_their_own_numbers(
    tmp_path: Path, tensor_type: str, kind: type, architecture: str, is_tied: bool
) -> None:
    """The same as packing the float32 numbers that they stand for; embeddings are packed with them."""
    oracle = tiny_model(architecture, tie_word_embeddings=is_tied)
    path = write_tiny_gguf(tmp_path / "m.gguf", oracle, tensor_type)
    packed, plain = loaded(path, None), loaded(path, "none")
    for name, weight in weights_of(packed.model).items():
        numbers = weights_of(plain.model)[name]
        if numbers.dim() == 1:
            assert weight.packed is None
            continue
        wanted = kernels.Int8Weight if "embed" in name else kind
        assert type(weight.packed) is wanted
        quantize = kernels.quantize_int8 if wanted is kernels.Int8Weight else kernels.quantize_int4
        assert torch.equal(weight.packed.data, quantize(numbers.data).data), name
        assert weight.numel() == 0


@pytest.mark.parametrize(("tensor_type", "tolerance"), [("Q8_0", 0.1), ("Q4_0", 0.1)])
def test_a_packed_gguf_computes_what_its_numbers_do(tmp_path: Path, tensor_type: str, tolerance: float) -> None:
    """What is left is the rounding of activations, and of Q8_0 that of one scale per row, not one per 32 numbers."""
    path = write_tiny_gguf(tmp_path / "m.gguf", tiny_model("qwen2", std=0.1), tensor_type)
    packed, exact = loaded(path, None), loaded(path, "none")
    expected = chunked_logprobs(exact.model, exact.config, PROMPTS)
    for got, want in zip(chunked_logprobs(packed.model, packed.config, PROMPTS), expected, strict=True):
        assert (got - want).abs().max() < tolerance


@pytest.mark.parametrize("tensor_type", ["Q8_0", "Q4_0", "F16"])
def test_a_gguf_file_over_two_ranks(tmp_path: Path, tensor_type: str) -> None:
    path = write_tiny_gguf(tmp_path / "m.gguf", tiny_model("qwen3", std=0.1, tie_word_embeddings=True), tensor_type)
    params = SamplingParams(temperature=0, max_tokens=4, logprobs=0)
    by_ranks = []
    for num_ranks in (1, 2):
        with LLM(path, tensor_parallel_size=num_ranks, num_threads=1, quantization="int8") as llm:
            by_ranks.append(llm.generate(PROMPTS, params, use_tqdm=False))
    for one, two in zip(*by_ranks, strict=True):
        assert one.outputs[0].logprobs[0].logprob == pytest.approx(two.outputs[0].logprobs[0].logprob, abs=0.05)
