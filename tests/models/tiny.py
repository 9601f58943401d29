"""Tiny random models on disk, for every test that needs one. Written through transformers and gguf, so that the files
are what users have, and seeded, so that they are the same everywhere.

The weights are large (a standard deviation of 0.3): greedy tokens then wander instead of repeating one token.
"""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": 2,
    "bos_token_id": 1,
    "tie_word_embeddings": False,
}
HEAD_DIM = {"qwen3": 32, "llama": 16, "mistral": 16}
"""Qwen2 has no head_dim of its own."""


def tiny_model(architecture: str = "qwen3", *, seed: int = 0, std: float = 0.3, **overrides: Any) -> PreTrainedModel:
    """A float32 transformers model of `architecture` (qwen3, qwen2, llama, mistral): the oracle of ours."""
    sizes = dict(SIZES)
    if architecture in HEAD_DIM:
        sizes["head_dim"] = HEAD_DIM[architecture]
    config = AutoConfig.for_model(architecture, **{**sizes, **overrides})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            parameter.copy_(1 + 0.1 * noise if "norm" in name else std * noise)
    return model.eval()


def write_tiny(
    path: Path,
    architecture: str = "qwen3",
    *,
    seed: int = 0,
    std: float = 0.3,
    dtype: torch.dtype = torch.float32,
    max_shard_size: str = "1GB",
    **overrides: Any,
) -> PreTrainedModel:
    """Writes config.json, generation_config.json and safetensors into the directory `path`; returns the float32 model
    that was rounded to `dtype`."""
    model = tiny_model(architecture, seed=seed, std=std, **overrides)
    model.to(dtype).save_pretrained(path, max_shard_size=max_shard_size)
    return model.to(torch.float32)


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_tiny_gguf(path: Path, model: PreTrainedModel, tensor_type: str = "F32") -> Path:
    """The file that llama.cpp's converter would write for `model`: its names, its order of q and k rows, matrices in
    `tensor_type` and vectors in F32. K-quants have random blocks, since gguf can read but not write them."""
    config = model.config
    architecture = "llama" if config.model_type == "mistral" else config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    _add_sizes(writer, config)
    _add_rope(writer, config)
    random = np.random.default_rng(0)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        data = tensor.float().numpy()
        if architecture == "llama":
            data = _interleaved(name, data, config)
        kind = gguf.GGMLQuantizationType[tensor_type if data.ndim == 2 else "F32"]
        writer.add_tensor(_gguf_name(name), _encoded(data, kind, random), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.model_type != "qwen2":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_token_list([f"<{i}>" for i in range(config.vocab_size)])
    writer.add_eos_token_id(config.eos_token_id)


def _add_rope(writer: gguf.GGUFWriter, config: Any) -> None:
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if rope["rope_type"] == "llama3":
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config)
        plain = rope["rope_theta"] ** -(torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim)
        writer.add_tensor("rope_freqs.weight", (plain / scaled).numpy())


def _gguf_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if module.startswith("model.layers."):
        _, _, layer, inner = module.split(".", 3)
        return f"blk.{layer}.{GGUF_NAMES[inner]}.{kind}"
    return f"{GGUF_NAMES[module]}.{kind}"


def _interleaved(name: str, data: np.ndarray, config: Any) -> np.ndarray:
    """q and k rows in the order of llama.cpp's llama: the two halves of each head interleaved."""
    if ".q_proj." not in name and ".k_proj." not in name:
        return data
    halves = data.reshape(-1, 2, config.head_dim // 2, *data.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(data.shape))


def _encoded(data: np.ndarray, kind: gguf.GGMLQuantizationType, random: np.random.Generator) -> np.ndarray:
    try:
        return gguf.quants.quantize(data, kind)
    except NotImplementedError:
        return _random_blocks(data.shape, kind, random)


def _random_blocks(shape: tuple[int, ...], kind: gguf.GGMLQuantizationType, random: np.random.Generator) -> np.ndarray:
    """Blocks of random codes with small scales, so that the weights are about as large as those of `tiny_model`."""
    block_size, type_size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (shape[0], shape[1] // block_size, type_size), dtype=np.uint8)
    scale_at = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "Q2_K": (80, 82), "Q3_K": (108,)}[kind.name]
    for at in scale_at:
        scales = random.uniform(0.5e-3, 1.5e-3, blocks.shape[:2]).astype(np.float16)
        blocks[..., at : at + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(shape[0], -1)
