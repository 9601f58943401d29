"""Frequencies to the bit as transformers has them, since models were trained with those; angles by hand."""

import math

import pytest
import torch
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from quire import kernels
from quire.layers.rotary import FactorScaling, RopeConfig, RotaryEmbedding
from quire.models.config import from_hf

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
SCALINGS = {
    "plain": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 3.0},
    "llama3": {**LLAMA3, "original_max_position_embeddings": 8192},
    "yarn": YARN,
    "yarn-odd": {**YARN, "factor": 7.3, "beta_fast": 20.0, "beta_slow": 2.0},
    "yarn-untruncated": {**YARN, "truncate": False},
}


def llama(**rope):
    config = AutoConfig.for_model(
        "llama",
        head_dim=128,
        max_position_embeddings=131072,
        rope_parameters={"rope_theta": 1e6, **rope},
        architectures=["LlamaForCausalLM"],
    )
    return config, from_hf(config.to_dict()).rope


@pytest.mark.parametrize("name", [name for name in SCALINGS if name != "plain"])
def test_scaled_frequencies_are_those_of_transformers(name):
    theirs, ours = llama(**SCALINGS[name])
    frequencies, magnitude = ROPE_INIT_FUNCTIONS[theirs.rope_parameters["rope_type"]](theirs)
    assert torch.equal(ours.frequencies(128), frequencies)
    assert ours.scaling.magnitude == magnitude


@pytest.mark.parametrize("name", SCALINGS)
def test_the_table_is_that_of_transformers_far_out(name):
    theirs, ours = llama(**SCALINGS[name])
    positions = torch.tensor([0, 1, 17, 1023, 4095])
    cos, sin = LlamaRotaryEmbedding(theirs)(torch.zeros(1, 1), positions[None])
    table = RotaryEmbedding(ours, 128, 4096).cos_sin_PE[positions]
    torch.testing.assert_close(table, torch.cat((cos[0, :, :64], sin[0, :, :64]), dim=-1), rtol=0, atol=1e-6)


def test_frequencies_by_hand():
    assert RopeConfig(theta=10_000.0).frequencies(4).tolist() == pytest.approx([1, 0.01])
    halved = RopeConfig(10_000.0, FactorScaling((1.0, 2.0)))
    assert halved.frequencies(4).tolist() == pytest.approx([1, 0.005])


def test_a_pair_is_turned_by_its_position():
    """One head of two numbers is one pair, which turns by one radian per position."""
    rotary = RotaryEmbedding(RopeConfig(), 2, 10)
    q, k = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]), torch.tensor([[[0.0, 2.0]], [[0.0, 2.0]]])
    kernels.rope_(q, k, torch.tensor([0, 3]), rotary.cos_sin_PE)
    assert q.flatten().tolist() == pytest.approx([1, 0, math.cos(3), math.sin(3)], abs=1e-6)
    assert k.flatten().tolist() == pytest.approx([0, 2, -2 * math.sin(3), 2 * math.cos(3)], abs=1e-6)
