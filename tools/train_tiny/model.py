"""The network of quire-tiny, written for training speed on a CPU.

It is Qwen3 to the letter (RMSNorm on queries and keys, rotary positions in two halves, grouped-query attention, SwiGLU,
tied embeddings), with the q/k/v and gate/up projections fused. It knows nothing of data or files. Invariant:
the tensors that export.py writes compute the same function in transformers' Qwen3ForCausalLM (it checks).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

QUERY_BLOCK = 128


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of the network. The embedding is shared with the output, so `vocab_size` is paid once."""

    vocab_size: int = 4096
    hidden_size: int = 192
    intermediate_size: int = 384
    num_layers: int = 6
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 64
    max_position_embeddings: int = 2048
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6


def rotary_table(shape: Shape) -> Tensor:
    """cos and sin for every position: [2, P, E], each half of E repeated."""
    frequencies = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim)
    angles = torch.outer(torch.arange(shape.max_position_embeddings), frequencies).repeat(1, 2)
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x_BHTE: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
    first, second = x_BHTE.chunk(2, dim=-1)
    return x_BHTE * cos_TE + torch.cat([-second, first], dim=-1) * sin_TE


def causal_attention(q_BHTE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor) -> Tensor:
    """A block of queries at a time over the keys that it may see: plain products, none of them over the other half."""
    return torch.cat(
        [
            attention_from(q_BHTE[:, :, start : start + QUERY_BLOCK], k_BHTE, v_BHTE, start)
            for start in range(0, q_BHTE.shape[2], QUERY_BLOCK)
        ],
        dim=2,
    )


def attention_from(q_BHSE: Tensor, k_BHTE: Tensor, v_BHTE: Tensor, start: int) -> Tensor:
    """Of queries that begin at position `start`."""
    num_queries, head_dim = q_BHSE.shape[-2:]
    seen = slice(0, start + num_queries)
    future = torch.full((num_queries, seen.stop), float("-inf"), device=q_BHSE.device).triu(1 + start)
    scores = (q_BHSE @ k_BHTE[:, :, seen].transpose(-1, -2)).float() * head_dim**-0.5 + future
    mixed: Tensor = scores.softmax(dim=-1).to(v_BHTE.dtype) @ v_BHTE[:, :, seen]
    return mixed


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = (shape.num_heads, shape.num_kv_heads, shape.num_kv_heads)
        self.head_dim = shape.head_dim
        self.qkv_proj = nn.Linear(shape.hidden_size, sum(self.heads) * shape.head_dim, bias=False)
        self.o_proj = nn.Linear(shape.num_heads * shape.head_dim, shape.hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(shape.head_dim, eps=shape.rms_norm_eps)
        self.k_norm = nn.RMSNorm(shape.head_dim, eps=shape.rms_norm_eps)

    def forward(self, x_BTD: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
        batch, length, _ = x_BTD.shape
        qkv = self.qkv_proj(x_BTD).view(batch, length, sum(self.heads), self.head_dim).transpose(1, 2)
        q, k, v = qkv.split(self.heads, dim=1)
        q = rotate(self.q_norm(q), cos_TE, sin_TE)
        k = rotate(self.k_norm(k), cos_TE, sin_TE)
        group = self.heads[0] // self.heads[1]
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
        out = causal_attention(q.to(v.dtype), k.to(v.dtype), v)
        projected: Tensor = self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))
        return projected


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.attention = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.gate_up_proj = nn.Linear(shape.hidden_size, 2 * shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, cos_TE: Tensor, sin_TE: Tensor) -> Tensor:
        x_BTD = x_BTD + self.attention(self.input_layernorm(x_BTD), cos_TE, sin_TE)
        gate, up = self.gate_up_proj(self.post_attention_layernorm(x_BTD)).chunk(2, dim=-1)
        moved: Tensor = x_BTD + self.down_proj(functional.silu(gate) * up)
        return moved


class Network(nn.Module):
    rotary: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, eps=shape.rms_norm_eps)
        self.register_buffer("rotary", rotary_table(shape), persistent=False)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def typed_layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Final hidden states [B, T, D]; the caller takes logits only where it needs them."""
        cos_TE, sin_TE = self.rotary[:, : ids_BT.shape[1]]
        x_BTD = self.embed_tokens(ids_BT)
        for layer in self.layers:
            x_BTD = layer(x_BTD, cos_TE, sin_TE)
        normed: Tensor = self.norm(x_BTD)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, self.embed_tokens.weight)
