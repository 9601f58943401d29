"""Slow, obvious kernels in torch and float64: the oracles of csrc/kernels."""

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.double()
    normed = wide / (wide.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return normed.to(x.dtype) * weight


def rope(x_TQE: Tensor, positions_T: Tensor, cos_sin_PE: Tensor) -> Tensor:
    """Pair i is (x[i], x[i + E/2]), a complex number that turns by the angle of its position."""
    half = x_TQE.shape[-1] // 2
    angles = cos_sin_PE[positions_T].double()
    turn = torch.complex(angles[:, :half], angles[:, half:])[:, None]
    turned = torch.complex(x_TQE[..., :half].double(), x_TQE[..., half:].double()) * turn
    return torch.cat([turned.real, turned.imag], -1).to(x_TQE.dtype)


def silu_mul(x: Tensor) -> Tensor:
    gate, up = x.double().chunk(2, -1)
    return (gate / (1 + (-gate).exp()) * up).to(x.dtype)


def nonlinear(x: Tensor, kind: str) -> Tensor:
    normal_below = {
        "none": torch.ones_like,
        "gelu": lambda y: (1 + torch.erf(y / 2**0.5)) / 2,
        "gelu_tanh": lambda y: (1 + torch.tanh((2 / torch.pi) ** 0.5 * (y + 0.044715 * y**3))) / 2,
        "relu": lambda y: (y > 0).double(),
    }
    return x.double() * normal_below[kind](x.double())


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """In float64."""
    wide = x.double()
    distance = wide - wide.mean(-1, keepdim=True)
    normed = distance / (distance.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return normed * weight.double() + bias.double()


def encoder_attention(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, lengths: list[int], scale: float) -> Tensor:
    """One query at a time over all keys of its sequence, in float64."""
    out, begin = torch.empty(q_THE.shape, dtype=torch.float64), 0
    for length in lengths:
        k, v = k_THE[begin : begin + length].double(), v_THE[begin : begin + length].double()
        for token in range(begin, begin + length):
            weights = torch.softmax((k * q_THE[token].double()).sum(-1) * scale, 0)
            out[token] = (weights[..., None] * v).sum(0)
        begin += length
    return out


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """(integers, scale of each row): round(x / scale) with scale = largest magnitude / 127, in float32 as the core."""
    wide = x.float()
    largest = wide.abs().amax(-1, keepdim=True)
    factor = torch.where(largest > 0, 127 / largest, 0.0)
    return (wide * factor).round().double(), (largest / 127).double()


def linear_int8(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    q, q_scale = quantize_rows(x)
    w, w_scale = quantize_rows(weight)
    out = (q @ w.T) * q_scale * w_scale.T
    return (out if bias is None else out + bias.double()).to(x.dtype)


def int4_levels(weight: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """(levels -8..7 [N, groups, group], float16 scales [N, groups, 1]): the element furthest from 0 becomes -8."""
    groups = weight.float().unflatten(-1, (-1, group))
    extreme = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    scales = (extreme / -8).half().float()
    inverse = torch.where(scales != 0, 1 / scales, 0.0)
    return (groups * inverse).round().clamp(-8, 7).double(), scales.double()


def linear_int4(x: Tensor, weight: Tensor, bias: Tensor | None, group: int) -> Tensor:
    q, q_scale = quantize_rows(x)
    levels, scales = int4_levels(weight, group)
    out = (q @ (levels * scales).flatten(1).T) * q_scale
    return (out if bias is None else out + bias.double()).to(x.dtype)


def paged_attention(
    q_THE: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    context_lens: Tensor,
    query_starts: Tensor,
    scale: float,
    window: int | None,
) -> Tensor:
    """One query at a time, over keys gathered token by token; each KV head repeated for its group of query heads."""
    out = torch.empty_like(q_THE)
    group = q_THE.shape[1] // k_cache.shape[1]
    block_size = k_cache.shape[2]
    for s, context_len in enumerate(context_lens.tolist()):
        begin, end = query_starts[s : s + 2].tolist()
        for token in range(begin, end):
            position = context_len - (end - token)
            seen = torch.arange(0 if window is None else max(0, position - window + 1), position + 1)
            blocks, offsets = block_tables[s, seen // block_size].long(), seen % block_size
            k, v = (c[blocks, :, offsets].double().repeat_interleave(group, 1) for c in (k_cache, v_cache))  # [j, H, E]
            weights = torch.softmax((k * q_THE[token].double()).sum(-1) * scale, 0)
            out[token] = (weights[..., None] * v).sum(0).to(out.dtype)
    return out
