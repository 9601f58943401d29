"""Two processes that share a model compute what one process computes with all of it."""

import pytest
import torch

from quire.errors import ConfigError
from quire.models import load
from quire.parallel.group import SingleGroup
from tests.models.paged import logprobs_of_models, random_prompts
from tests.models.tiny import write_tiny, write_tiny_gguf
from tests.parallel.ranks import run_ranks


def test_two_ranks_compute_what_one_does(tmp_path):
    """321 tokens do not divide by two; biases must be added once; llama.cpp's row order must survive slicing."""
    sizes = {"vocab_size": 321, "std": 0.15}
    write_tiny(tmp_path / "qwen3", "qwen3", attention_bias=True, **sizes)
    write_tiny(tmp_path / "tied", "qwen2", tie_word_embeddings=True, **sizes)
    llama = write_tiny(tmp_path / "llama", "llama", attention_bias=True, mlp_bias=True, **sizes)
    gguf = write_tiny_gguf(tmp_path / "m.gguf", llama, "Q8_0")
    paths = [tmp_path / "qwen3", tmp_path / "tied", tmp_path / "llama", gguf]
    prompts = random_prompts(321, [13, 21, 6])
    alone = logprobs_of_models(SingleGroup(), paths, prompts)
    first, second = run_ranks(2, logprobs_of_models, tmp_path, paths, prompts)
    for model in range(len(paths)):
        for expected, ours, theirs in zip(alone[model], first[model], second[model], strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-5)
            assert torch.equal(ours, theirs)


class FirstOfThree(SingleGroup):
    size = 3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({}, "the model has 4 attention heads"),
        ({"num_attention_heads": 6, "num_key_value_heads": 2}, "the model has 2 key-value heads"),
        ({"num_attention_heads": 3, "num_key_value_heads": 3, "intermediate_size": 32}, "32 outputs of gate_proj"),
    ],
)
def test_a_model_that_cannot_be_shared_is_refused(sizes, message, tmp_path):
    write_tiny(tmp_path, "qwen3", **sizes)
    with pytest.raises(ConfigError, match=f"tensor_parallel_size is 3; .*{message}"):
        load(tmp_path, group=FirstOfThree())
