"""The network's tensors under the names of Qwen3's files, in both directions.

Knows no configuration and no tokenizer (export.py does). Invariant: `load_exported` undoes `tensors` but for the
rounding to bfloat16.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .model import Network


def tensors(network: Network) -> dict[str, Tensor]:
    """Under Qwen3's names, in bfloat16; the fused projections are taken apart."""
    shape = network.shape
    rows = [shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim]
    found = {"model.embed_tokens.weight": network.embed_tokens.weight, "model.norm.weight": network.norm.weight}
    for index, layer in enumerate(network.typed_layers()):
        attention = layer.attention
        q, k, v = attention.qkv_proj.weight.split(rows)
        gate, up = layer.gate_up_proj.weight.chunk(2)
        parts = {
            "input_layernorm": layer.input_layernorm.weight,
            "self_attn.q_proj": q, "self_attn.k_proj": k, "self_attn.v_proj": v,
            "self_attn.o_proj": attention.o_proj.weight,
            "self_attn.q_norm": attention.q_norm.weight, "self_attn.k_norm": attention.k_norm.weight,
            "post_attention_layernorm": layer.post_attention_layernorm.weight,
            "mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": layer.down_proj.weight,
        }  # fmt: skip
        found |= {f"model.layers.{index}.{name}.weight": tensor for name, tensor in parts.items()}
    return {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in found.items()}


def load_exported(network: Network, directory: Path) -> None:
    """The weights of an exported model directory, put into a network of the same shape."""
    file = {name: tensor.float() for name, tensor in load_file(directory / "model.safetensors").items()}
    state = {"embed_tokens.weight": file["model.embed_tokens.weight"], "norm.weight": file["model.norm.weight"]}
    for index in range(network.shape.num_layers):
        part = {name.removeprefix(f"model.layers.{index}."): tensor for name, tensor in file.items()}
        fused = {
            "attention.qkv_proj": torch.cat([part[f"self_attn.{name}_proj.weight"] for name in "qkv"]),
            "gate_up_proj": torch.cat([part["mlp.gate_proj.weight"], part["mlp.up_proj.weight"]]),
            "attention.o_proj": part["self_attn.o_proj.weight"],
            "attention.q_norm": part["self_attn.q_norm.weight"],
            "attention.k_norm": part["self_attn.k_norm.weight"],
            "down_proj": part["mlp.down_proj.weight"],
        }
        fused |= {name: part[f"{name}.weight"] for name in ("input_layernorm", "post_attention_layernorm")}
        state |= {f"layers.{index}.{name}.weight": tensor for name, tensor in fused.items()}
    network.load_state_dict(state)
