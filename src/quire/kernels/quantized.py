"""Linear layers over int8 and 4-bit weights on a CPU: quantise once, then multiply at any batch size.

Activations are quantised to int8 inside the product, each row by its own largest value, so a request's numbers do not
depend on what else is in the batch. Knows nothing of models and files.

Invariant: one packed copy serves every batch size; its layout is described in csrc/kernels/linear_int8.h and _int4.h
and is the same on every machine, so it may be kept on disk.
"""

from dataclasses import dataclass

import torch  # before quire._native, so that both use torch's OpenMP runtime
from torch import Tensor

from quire import _native
from quire.kernels.capture import empty_result
from quire.kernels.cpu import DTYPE_CODES, address_of_vector, check_matrix, shown

PANEL = 64  # outputs that are packed side by side
INT4_GROUP = 32  # inputs that share a scale, as in GGUF's Q4_0


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """int8 weights [outputs, inputs] with one scale per output, packed."""

    data: Tensor  # uint8 [panels, ceil(inputs / 4), 64, 4]
    scales: Tensor  # float32 [panels * 64]
    outputs: int
    inputs: int


@dataclass(frozen=True, slots=True)
class Int4Weight:
    """4-bit weights [outputs, inputs] with one float16 scale per output and group of inputs, packed as one stream."""

    data: Tensor  # uint8 [panels, inputs / group, 64 * (group / 2 + 2)]
    outputs: int
    inputs: int
    group: int


def quantize_int8(weight_NK: Tensor) -> Int8Weight:
    """Each output's row is divided by its largest magnitude / 127 and rounded. All threads work on it."""
    outputs, inputs = _check_weight(weight_NK)
    panels = -(-outputs // PANEL)
    data = torch.empty(panels, -(-inputs // 4), PANEL, 4, dtype=torch.uint8)
    scales = torch.empty(panels * PANEL, dtype=torch.float32)
    code = DTYPE_CODES[weight_NK.dtype]
    _native.pack_int8(weight_NK.data_ptr(), outputs, inputs, data.data_ptr(), scales.data_ptr(), code)
    return Int8Weight(data, scales, outputs, inputs)


def linear_int8(x_TK: Tensor, weight: Int8Weight, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias, with x quantised row by row."""
    rows = check_matrix(x_TK, weight.inputs)
    out_TN = empty_result((*x_TK.shape[:-1], weight.outputs), x_TK.dtype)
    _native.linear_int8(
        x_TK.data_ptr(),
        weight.data.data_ptr(),
        weight.scales.data_ptr(),
        address_of_vector("bias", bias, weight.outputs, x_TK.dtype),
        out_TN.data_ptr(),
        rows,
        weight.inputs,
        weight.outputs,
        DTYPE_CODES[x_TK.dtype],
    )
    return out_TN


def quantize_int4(weight_NK: Tensor, *, group: int = INT4_GROUP) -> Int4Weight:
    """Each group of a row is divided by (its extreme element / -8) and rounded to -8..7, as GGUF's Q4_0 does."""
    outputs, inputs = _check_weight(weight_NK)
    if group < 8 or group % 8 or inputs % group:
        raise ValueError(f"group is {group}; allowed: a multiple of 8 that divides the weight's {inputs} inputs.")
    panels = -(-outputs // PANEL)
    data = torch.empty(panels, inputs // group, PANEL * (group // 2 + 2), dtype=torch.uint8)
    code = DTYPE_CODES[weight_NK.dtype]
    _native.pack_int4(weight_NK.data_ptr(), outputs, inputs, group, data.data_ptr(), code)
    return Int4Weight(data, outputs, inputs, group)


def linear_int4(x_TK: Tensor, weight: Int4Weight, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias, with x quantised row by row."""
    rows = check_matrix(x_TK, weight.inputs)
    out_TN = empty_result((*x_TK.shape[:-1], weight.outputs), x_TK.dtype)
    _native.linear_int4(
        x_TK.data_ptr(),
        weight.data.data_ptr(),
        address_of_vector("bias", bias, weight.outputs, x_TK.dtype),
        out_TN.data_ptr(),
        rows,
        weight.inputs,
        weight.outputs,
        weight.group,
        DTYPE_CODES[x_TK.dtype],
    )
    return out_TN


def _check_weight(weight: Tensor) -> tuple[int, int]:
    if weight.dim() != 2 or weight.dtype not in DTYPE_CODES or not weight.is_contiguous():
        raise ValueError(f"weight is {shown(weight)}; it must be a contiguous matrix of float32, bfloat16 or float16.")
    return weight.shape[0], weight.shape[1]
