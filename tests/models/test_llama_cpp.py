"""GGUF models against the safetensors ones they were written from, and quantised weights against the gguf package."""

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from quire.errors import ModelLoadError
from quire.models import load
from quire.parallel.group import SingleGroup
from tests.models.paged import chunked_logprobs, random_prompts
from tests.models.tiny import tiny_model, write_tiny, write_tiny_gguf

SIZE_OF_K_QUANTS = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 8, "head_dim": 32}


def logprobs_of(path, **kwargs):
    loaded = load(path, group=SingleGroup(), **kwargs)
    return chunked_logprobs(loaded.model, loaded.config, random_prompts(320, [23, 11]))


@pytest.mark.parametrize(
    ("architecture", "overrides"),
    [
        ("qwen3", {}),
        ("qwen3", {"tie_word_embeddings": True}),
        ("qwen2", {}),
        ("llama", {}),
        ("llama", {"attention_bias": True}),
        ("llama", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
        ("mistral", {"sliding_window": None}),
    ],
)
def test_f32_is_the_very_model_of_safetensors(architecture, overrides, tmp_path):
    """The weights are the same to the bit. A matrix product is not always: it may sum in another order where a weight
    lies at another alignment in its file."""
    oracle = write_tiny(tmp_path / "hf", architecture, **overrides)
    path = write_tiny_gguf(tmp_path / "m.gguf", oracle)
    ours, expected = load(path, group=SingleGroup()), load(tmp_path / "hf", group=SingleGroup())
    for (name, weight), (_, other) in zip(
        ours.model.named_parameters(), expected.model.named_parameters(), strict=True
    ):
        assert torch.equal(weight, other), name
    for mine, other in zip(logprobs_of(path), logprobs_of(tmp_path / "hf"), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0},
        {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 128},
        {
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_rope_scaling_comes_from_metadata_or_factors(rope, tmp_path):
    oracle = write_tiny(tmp_path / "hf", "llama", rope_parameters=rope)
    path = write_tiny_gguf(tmp_path / "m.gguf", oracle)
    for ours, expected in zip(logprobs_of(path), logprobs_of(tmp_path / "hf"), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tensor_type", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"])
@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
def test_weights_are_those_of_the_gguf_package(tensor_type, architecture, tmp_path):
    oracle = tiny_model(architecture, **SIZE_OF_K_QUANTS)
    path = write_tiny_gguf(tmp_path / "m.gguf", oracle, tensor_type)
    model = load(path, dtype="float32", quantization="none", group=SingleGroup()).model
    expected = {
        tensor.name: torch.from_numpy(gguf.quants.dequantize(np.array(tensor.data), tensor.tensor_type))
        for tensor in gguf.GGUFReader(path).tensors
    }
    layer = model.model.layers[1]
    assert torch.equal(model.model.embed_tokens.weight, expected["token_embd.weight"])
    assert torch.equal(model.lm_head.weight, expected["output.weight"])
    assert torch.equal(layer.mlp.down_proj.weight, expected["blk.1.ffn_down.weight"])
    gate_up = torch.cat((expected["blk.1.ffn_gate.weight"], expected["blk.1.ffn_up.weight"]))
    assert torch.equal(layer.mlp.gate_up_proj.weight, gate_up)
    query = expected["blk.1.attn_q.weight"]
    if architecture == "llama":
        half = layer.self_attn.qkv_proj.head_dim // 2
        order = [
            head + i + offset
            for head in range(0, len(query), 2 * half)
            for offset in (0, 1)
            for i in range(0, 2 * half, 2)
        ]
        query = query[order]
    assert torch.equal(layer.self_attn.qkv_proj.weight[: len(query)], query)


def test_a_quantised_model_computes_with_its_weights(tmp_path):
    """The oracle is the float model with the weights that Q8_0 leaves of it."""
    oracle = write_tiny(tmp_path / "hf", "qwen2")
    path = write_tiny_gguf(tmp_path / "m.gguf", oracle, "Q8_0")
    with torch.no_grad():
        for parameter in oracle.parameters():
            if parameter.dim() == 2:
                q8_0 = gguf.GGMLQuantizationType.Q8_0
                rounded = gguf.quants.dequantize(gguf.quants.quantize(parameter.numpy(), q8_0), q8_0)
                parameter.copy_(torch.from_numpy(rounded))
    prompt = random_prompts(320, [23])[0]
    expected = oracle(torch.tensor([prompt])).logits[0].log_softmax(-1)
    torch.testing.assert_close(logprobs_of(path, dtype="float32", quantization="none")[0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("tensor_type", "dtype"),
    [("F32", torch.float32), ("F16", torch.float16), ("BF16", torch.bfloat16), ("Q8_0", torch.bfloat16)],
)
def test_auto_takes_the_dtype_of_most_numbers(tensor_type, dtype, tmp_path):
    loaded = load(write_tiny_gguf(tmp_path / "m.gguf", tiny_model("qwen3"), tensor_type), group=SingleGroup())
    assert loaded.config.dtype is dtype
    assert loaded.model.lm_head.weight.dtype is dtype


def test_the_config_is_that_of_the_file(tmp_path):
    oracle = tiny_model("qwen3", num_hidden_layers=3, rms_norm_eps=1e-5, rope_parameters={"rope_theta": 5e5})
    config = load(write_tiny_gguf(tmp_path / "m.gguf", oracle), group=SingleGroup()).config
    assert (config.vocab_size, config.hidden_size, config.intermediate_size) == (320, 64, 96)
    assert (config.num_layers, config.num_heads, config.num_kv_heads, config.head_dim) == (3, 4, 2, 32)
    assert (config.max_model_len, config.rope.theta, config.eos_token_ids) == (512, 5e5, (2,))
    assert config.rms_norm_eps == pytest.approx(1e-5)


def edited(path, architecture="qwen3", *, without=(), extra=None):
    """A copy of a GGUF file without some keys or tensors, and with others."""
    reader = gguf.GGUFReader(path)
    copy = path.with_name("edited.gguf")
    writer = gguf.GGUFWriter(copy, architecture)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture" and key not in without:
            kind, inner = field.types[0], field.types[-1]
            writer.add_key_value(key, field.contents(), kind, inner if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        if tensor.name not in without:
            writer.add_tensor(tensor.name, np.array(tensor.data))
    for name, data in (extra or {}).items():
        if isinstance(data, str):
            writer.add_string(name, data)
        elif isinstance(data, int):
            writer.add_uint16(name, data)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return copy


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"architecture": "gpt2"}, r"architecture is 'gpt2'; supported in GGUF: llama, qwen2, qwen3"),
        ({"without": ["qwen3.block_count"]}, r"qwen3\.block_count is None; expected a number above 0"),
        ({"without": ["token_embd.weight"]}, r"no tensor token_embd\.weight"),
        ({"without": ["blk.1.ffn_up.weight"]}, r"lack the tensor blk\.1\.ffn_up\.weight of shape \[96, 64\]"),
        (
            {"extra": {"blk.0.ffn_gate_inp.weight": np.zeros((2, 4), np.float32)}},
            r"ffn_gate_inp\.weight of shape \[2, 4\]",
        ),
        ({"extra": {"split.count": 3}}, "is one of 3 parts; join them"),
        ({"extra": {"qwen3.rope.scaling.type": "longrope"}}, r"rope\.scaling\.(type|factor) is"),
    ],
)
def test_what_cannot_be_run_is_named(edit, message, tmp_path):
    path = edited(write_tiny_gguf(tmp_path / "m.gguf", tiny_model("qwen3")), **edit)
    with pytest.raises(ModelLoadError, match=message):
        load(path, group=SingleGroup())


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_transformers_reads_the_same_model_from_the_file(architecture, tmp_path):
    """Its GGUF reader was written by others against files of llama.cpp. It takes every Qwen3 head for 128 wide."""
    sizes = {"head_dim": 128} if architecture == "qwen3" else {}
    path = write_tiny_gguf(tmp_path / "m.gguf", tiny_model(architecture, **sizes), "Q8_0")
    oracle = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32).eval()
    prompt = random_prompts(320, [23])[0]
    with torch.inference_mode():
        expected = oracle(torch.tensor([prompt])).logits[0].log_softmax(-1)
    torch.testing.assert_close(logprobs_of(path, dtype="float32", quantization="none")[0], expected, rtol=0, atol=1e-4)
