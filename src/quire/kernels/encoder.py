"""The kernels of encoders on a CPU: attention in which every token sees its whole sequence, layer norm, and products
with weights that were packed for this machine. Faces of csrc/kernels that check their arguments and pass addresses.

Knows nothing of models. Shapes: T tokens, S sequences, H heads, E head_dim, K inputs, N outputs.

Invariant: no address reaches the core before dtype, shape and strides of its tensor were checked.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch  # before quire._native, so that both use torch's OpenMP runtime
from torch import Tensor

from quire import _native
from quire.kernels.capture import empty_result
from quire.kernels.cpu import DTYPE_CODES, address_of_vector, check_matrix, shown

Nonlinearity: TypeAlias = Literal["none", "gelu", "gelu_tanh", "relu"]
_CODES: dict[str, int] = {name: code for code, name in enumerate(get_args(Nonlinearity))}


def fastest_dtype() -> torch.dtype:
    """The format whose products are fastest on this machine: bfloat16 where an instruction multiplies it."""
    return torch.bfloat16 if _native.isa() == "avx512" else torch.float32


FASTEST_STORED = torch.bfloat16
"""The format of packed weights that is fastest on every machine: reading them is what a short text waits for."""


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """Weights [outputs, inputs] in the layout of the instruction set in use (csrc/kernels/encoder/linear_packed.h). It
    is of this process: never kept on disk."""

    data: Tensor  # uint8
    outputs: int
    inputs: int
    dtype: torch.dtype  # of what it is multiplied with
    stored: torch.dtype


def pack_linear(weight_NK: Tensor, stored: torch.dtype | None = None) -> PackedWeight:
    """All threads work on it. `stored` rounds float32 weights to fewer bits; what they are multiplied with and the sums
    stay float32. None: as they are."""
    if weight_NK.dim() != 2 or weight_NK.dtype not in DTYPE_CODES or not weight_NK.is_contiguous():
        raise ValueError(f"weight is {shown(weight_NK)}; it must be a contiguous matrix of {', '.join(_dtypes())}.")
    dtype = weight_NK.dtype
    stored = stored or dtype
    if stored not in DTYPE_CODES or (stored is not dtype and dtype is not torch.float32):
        raise ValueError(f"stored is {stored}; of {dtype} weights it must be {dtype}, or any where they are float32.")
    outputs, inputs = weight_NK.shape
    codes = (DTYPE_CODES[dtype], DTYPE_CODES[stored])
    data = torch.empty(_native.packed_linear_bytes(inputs, outputs, *codes), dtype=torch.uint8)
    _native.pack_linear(weight_NK.data_ptr(), data.data_ptr(), inputs, outputs, *codes)
    return PackedWeight(data, outputs, inputs, dtype, stored)


def linear_packed(
    x_TK: Tensor, weight: PackedWeight, bias: Tensor | None = None, nonlinearity: Nonlinearity = "none"
) -> Tensor:
    """nonlinearity(x · weightᵀ + bias), rounded once."""
    rows = check_matrix(x_TK, weight.inputs)
    if x_TK.dtype is not weight.dtype:
        raise ValueError(f"x is {shown(x_TK)}; the weight was packed from {weight.dtype}, and x must be of it too.")
    out_TN = empty_result((*x_TK.shape[:-1], weight.outputs), x_TK.dtype)
    _native.linear_packed(
        x_TK.data_ptr(),
        weight.data.data_ptr(),
        address_of_vector("bias", bias, weight.outputs, x_TK.dtype),
        out_TN.data_ptr(),
        rows,
        weight.inputs,
        weight.outputs,
        _CODES[nonlinearity],
        DTYPE_CODES[x_TK.dtype],
        DTYPE_CODES[weight.stored],
    )
    return out_TN


def nonlinear_(x: Tensor, nonlinearity: Nonlinearity) -> Tensor:
    """x, with every element replaced by nonlinearity(element)."""
    if x.dtype not in DTYPE_CODES or not x.is_contiguous():
        raise ValueError(f"x is {shown(x)}; it must be contiguous, of {', '.join(_dtypes())}.")
    if nonlinearity != "none":
        _native.apply_nonlinearity(x.data_ptr(), x.numel(), _CODES[nonlinearity], DTYPE_CODES[x.dtype])
    return x


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float, residual: Tensor | None = None) -> Tensor:
    """The layer norm of every row of x, or of x + residual; sums are float32."""
    width = len(weight)
    rows = check_matrix(x, width)
    if residual is not None and (
        residual.shape != x.shape or residual.dtype is not x.dtype or not residual.is_contiguous()
    ):
        raise ValueError(f"residual is {shown(residual)}; it must be like x, {shown(x)}, and contiguous.")
    out = empty_result(x.shape, x.dtype)
    _native.layer_norm(
        x.data_ptr(),
        0 if residual is None else residual.data_ptr(),
        address_of_vector("weight", weight, width, x.dtype),
        address_of_vector("bias", bias, width, x.dtype),
        out.data_ptr(),
        rows,
        width,
        eps,
        DTYPE_CODES[x.dtype],
    )
    return out


def encoder_attention(q_THE: Tensor, k_THE: Tensor, v_THE: Tensor, starts_S: Tensor, scale: float) -> Tensor:
    """Every query over all keys of its sequence; sequence s has the tokens starts[s] to starts[s + 1].

    `starts` is int32 [S + 1], rises from 0 to T, and is read: it is on the CPU.
    """
    tokens, num_heads, head_dim = q_THE.shape
    for name, x in (("q", q_THE), ("k", k_THE), ("v", v_THE)):
        if (
            x.shape != q_THE.shape
            or x.dtype is not q_THE.dtype
            or x.dtype not in DTYPE_CODES
            or x.stride() != (q_THE.stride(0), head_dim, 1)
        ):
            raise ValueError(
                f"{name} is {shown(x)}; it must be [{tokens}, {num_heads}, {head_dim}] of {', '.join(_dtypes())}, with"
                " the heads of a token side by side and its tokens as far apart as those of q."
            )
    if starts_S.dtype is not torch.int32 or starts_S.dim() != 1 or not starts_S.is_contiguous():
        raise ValueError(f"starts is {shown(starts_S)}; it must be torch.int32, contiguous, one longer than sequences.")
    if not scale > 0:
        raise ValueError(f"scale is {scale}; allowed: above 0.")
    out_THE = empty_result(q_THE.shape, q_THE.dtype)
    _native.encoder_attention(
        q_THE.data_ptr(),
        k_THE.data_ptr(),
        v_THE.data_ptr(),
        q_THE.stride(0),
        out_THE.data_ptr(),
        starts_S.data_ptr(),
        len(starts_S) - 1,
        num_heads,
        head_dim,
        scale,
        DTYPE_CODES[q_THE.dtype],
    )
    return out_THE


def _dtypes() -> list[str]:
    return [str(dtype) for dtype in DTYPE_CODES]
