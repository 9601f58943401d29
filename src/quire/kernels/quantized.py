"""Linear layers over int8 and 4-bit weights on a CPU: quantise once, then multiply at any batch size.

Activations are quantised to int8 inside the product, each row by its own largest value, so a request's numbers do not
depend on what else is in the batch. Knows nothing of models and files.

Invariant: one packed copy serves every batch size; its layout is described in linear_int8.h and linear_int4.h of
csrc/kernels/linear and is the same on every machine, so it may be kept on disk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch  # before quire._native, so that both use torch's OpenMP runtime
from torch import Tensor

from quire import _native
from quire.kernels.capture import empty_result
from quire.kernels.cpu import DTYPE_CODES, address_of_vector, check_index, check_matrix, shown

PANEL = 64  # outputs that are packed side by side
INT4_GROUP = 32  # inputs that share a scale, as in GGUF's Q4_0
GGUF_BLOCK, Q8_0_BYTES, Q4_0_BYTES = 32, 34, 18  # numbers and bytes of a block


Layout: TypeAlias = dict[str, tuple[torch.dtype, tuple[int, ...]]]
"""The tensors that a packed matrix consists of, by name."""


@dataclass(frozen=True, slots=True)
class Int8Weight:
    """int8 weights [outputs, inputs] with one scale per output, packed."""

    data: Tensor  # uint8 [panels, ceil(inputs / 4), 64, 4]
    scales: Tensor  # float32 [panels * 64]
    outputs: int
    inputs: int

    @staticmethod
    def layout(outputs: int, inputs: int) -> Layout:
        panels = -(-outputs // PANEL)
        data = (torch.uint8, (panels, -(-inputs // 4), PANEL, 4))
        return {"data": data, "scales": (torch.float32, (panels * PANEL,))}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], outputs: int, inputs: int) -> "Int8Weight":
        """Of tensors as `layout` says."""
        return cls(tensors["data"], tensors["scales"], outputs, inputs)

    def pack_(self, first: int, rows_RK: Tensor) -> None:
        """Writes the rows from `first` on, which begins a panel; fewer rows than fill a panel are the matrix's last.
        Each is divided by its largest magnitude / 127 and rounded. All threads work on it."""
        _check_rows(self, first, rows_RK)
        panel = first // PANEL
        _native.pack_int8(
            rows_RK.data_ptr(),
            len(rows_RK),
            self.inputs,
            self.data[panel:].data_ptr(),
            self.scales[first:].data_ptr(),
            DTYPE_CODES[rows_RK.dtype],
        )


@dataclass(frozen=True, slots=True)
class Int4Weight:
    """4-bit weights [outputs, inputs] with one float16 scale per output and group of inputs, packed as one stream."""

    data: Tensor  # uint8 [panels, inputs / group, 64 * (group / 2 + 2)]
    outputs: int
    inputs: int
    group: int = INT4_GROUP

    @staticmethod
    def layout(outputs: int, inputs: int, group: int = INT4_GROUP) -> Layout:
        return {"data": (torch.uint8, (-(-outputs // PANEL), inputs // group, PANEL * (group // 2 + 2)))}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], outputs: int, inputs: int, group: int = INT4_GROUP) -> "Int4Weight":
        """Of tensors as `layout` says."""
        return cls(tensors["data"], outputs, inputs, group)

    def pack_(self, first: int, rows_RK: Tensor) -> None:
        """As of Int8Weight. Each group of a row is divided by (its extreme element / -8) and rounded to -8..7, as
        GGUF's Q4_0 does."""
        _check_rows(self, first, rows_RK)
        code, to = DTYPE_CODES[rows_RK.dtype], self.data[first // PANEL :].data_ptr()
        _native.pack_int4(rows_RK.data_ptr(), len(rows_RK), self.inputs, self.group, to, code)

    def pack_q4_0_(self, first: int, blocks_RB: Tensor) -> None:
        """The same rows as blocks of GGUF's Q4_0, to the bit. REQUIRES: the matrix has groups of 32."""
        row_bytes = self.inputs // GGUF_BLOCK * Q4_0_BYTES
        if blocks_RB.dtype is not torch.uint8 or blocks_RB.shape[1] != row_bytes or not blocks_RB.is_contiguous():
            raise ValueError(f"blocks is {shown(blocks_RB)}; it must be uint8 [rows, {row_bytes}], contiguous.")
        if self.group != GGUF_BLOCK:
            raise ValueError(f"group is {self.group}; Q4_0 has groups of {GGUF_BLOCK}.")
        _check_place(self, first, len(blocks_RB))
        to = self.data[first // PANEL :].data_ptr()
        _native.pack_q4_0(blocks_RB.data_ptr(), len(blocks_RB), self.inputs, to)


QuantizedWeight: TypeAlias = Int8Weight | Int4Weight


def quantize_int8(weight_NK: Tensor) -> Int8Weight:
    """A whole matrix, packed."""
    outputs, inputs = _matrix_shape(weight_NK)
    packed = Int8Weight.of(_empty(Int8Weight.layout(outputs, inputs)), outputs, inputs)
    packed.pack_(0, weight_NK)
    return packed


def quantize_int4(weight_NK: Tensor, *, group: int = INT4_GROUP) -> Int4Weight:
    """A whole matrix, packed."""
    outputs, inputs = _matrix_shape(weight_NK)
    if group < 8 or group % 8 or inputs % group:
        raise ValueError(f"group is {group}; allowed: a multiple of 8 that divides the weight's {inputs} inputs.")
    packed = Int4Weight.of(_empty(Int4Weight.layout(outputs, inputs, group)), outputs, inputs, group)
    packed.pack_(0, weight_NK)
    return packed


def dequantize_q8_0(blocks_RB: Tensor) -> Tensor:
    """The float32 numbers of rows in blocks of GGUF's Q8_0."""
    if blocks_RB.dtype is not torch.uint8 or blocks_RB.shape[1] % Q8_0_BYTES or not blocks_RB.is_contiguous():
        raise ValueError(
            f"blocks is {shown(blocks_RB)}; it must be uint8 rows of {Q8_0_BYTES} bytes a block, contiguous."
        )
    count = blocks_RB.numel() // Q8_0_BYTES
    out = torch.empty(len(blocks_RB), blocks_RB.shape[1] // Q8_0_BYTES * GGUF_BLOCK, dtype=torch.float32)
    _native.dequantize_q8_0(blocks_RB.data_ptr(), count, out.data_ptr())
    return out


def checksum(data: Tensor) -> int:
    """Of the bytes of a tensor, by all threads; 64 bits, the same on every machine."""
    if not data.is_contiguous():
        raise ValueError(f"data is {shown(data)}; it must be contiguous.")
    return _native.checksum(data.data_ptr(), data.numel() * data.itemsize)


def embedding_int8(ids_T: Tensor, weight: Int8Weight, dtype: torch.dtype) -> Tensor:
    """The rows of the matrix with these numbers, in `dtype`. Raises IndexError where there is none."""
    check_index("ids", ids_T, torch.int64, len(ids_T))
    out_TK = empty_result((len(ids_T), weight.inputs), dtype)
    _native.embedding_int8(
        ids_T.data_ptr(),
        weight.data.data_ptr(),
        weight.scales.data_ptr(),
        out_TK.data_ptr(),
        len(ids_T),
        weight.outputs,
        weight.inputs,
        DTYPE_CODES[dtype],
    )
    return out_TK


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


def _empty(layout: Layout) -> dict[str, Tensor]:
    return {name: torch.empty(shape, dtype=dtype) for name, (dtype, shape) in layout.items()}


def _matrix_shape(weight: Tensor) -> tuple[int, int]:
    if weight.dim() != 2:
        raise ValueError(f"weight is {shown(weight)}; it must be a matrix.")
    return weight.shape[0], weight.shape[1]


def _check_rows(packed: QuantizedWeight, first: int, rows: Tensor) -> None:
    if rows.shape[1:] != (packed.inputs,) or rows.dtype not in DTYPE_CODES or not rows.is_contiguous():
        raise ValueError(
            f"rows is {shown(rows)}; it must be contiguous rows of {packed.inputs} float32, bfloat16 or float16."
        )
    _check_place(packed, first, len(rows))


def _check_place(packed: QuantizedWeight, first: int, count: int) -> None:
    end = first + count
    if first < 0 or first % PANEL or end > packed.outputs or (end % PANEL and end != packed.outputs):
        raise ValueError(
            f"rows {first} to {end} of {packed.outputs} are to be packed; runs begin and end at multiples of {PANEL}, "
            f"the last one at {packed.outputs}."
        )
