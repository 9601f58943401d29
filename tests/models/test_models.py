"""Every architecture against transformers in float32, over a paged cache with scattered blocks, with whole prompts,
chunks and single tokens mixed in the same steps."""

import pytest
import torch

from quire.models import load
from quire.parallel.group import SingleGroup
from tests.models.paged import chunked_logprobs, random_prompts
from tests.models.tiny import write_tiny

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 128}
MODELS = {
    "qwen3": ("qwen3", {}),
    "qwen3-tied": ("qwen3", {"tie_word_embeddings": True}),
    "qwen3-biases": ("qwen3", {"attention_bias": True}),
    "qwen3-one-kv-head": ("qwen3", {"num_key_value_heads": 1}),
    "qwen3-some-windows": (
        "qwen3",
        {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1, "num_hidden_layers": 3},
    ),
    "qwen2": ("qwen2", {}),
    "qwen2-tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen2-layer-types": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": 5,
            "num_hidden_layers": 3,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "qwen2-window-off": ("qwen2", {"use_sliding_window": False, "sliding_window": 5, "max_window_layers": 0}),
    "qwen2-yarn": ("qwen2", {"rope_parameters": YARN}),
    "llama": ("llama", {}),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "llama-biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3}),
    "llama-linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}}),
    "llama-yarn": ("llama", {"rope_parameters": {**YARN, "attention_factor": 1.3, "beta_fast": 16.0}}),
    "llama-yarn-untruncated": ("llama", {"rope_parameters": {**YARN, "truncate": False}}),
    "llama-yarn-mscale": ("llama", {"rope_parameters": {**YARN, "mscale": 1.2, "mscale_all_dim": 0.8}}),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral-window": ("mistral", {"sliding_window": 7}),
}


@pytest.mark.parametrize("name", MODELS)
def test_logprobs_are_those_of_transformers(name, tmp_path):
    architecture, overrides = MODELS[name]
    oracle = write_tiny(tmp_path, architecture, **overrides)
    loaded = load(tmp_path, dtype="float32", group=SingleGroup())
    prompts = random_prompts(320, [23, 31, 9, 26])
    for prompt, ours in zip(prompts, chunked_logprobs(loaded.model, loaded.config, prompts), strict=True):
        with torch.inference_mode():
            theirs = oracle(torch.tensor([prompt])).logits[0].log_softmax(-1)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
