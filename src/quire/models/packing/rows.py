"""Rows of a checkpoint's matrices, whatever form their file has them in, and how they become a packed matrix.

A matrix is read in runs of rows, so that no more than a run is ever held as plain numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

import torch
from torch import Tensor

from quire.kernels import Int4Weight
from quire.kernels.quantized import QuantizedWeight

ROWS_AT_ONCE = 4096
"""Whole panels, enough for all threads, and little beside the matrix."""


class Form(Enum):
    """How a file holds a matrix."""

    PLAIN = "plain"
    Q4_0 = "Q4_0"
    QUANTIZED = "quantized"
    """In another way than Q4_0."""


class Rows(Protocol):
    """Some rows of a matrix. Nothing is read before it is asked for."""

    def __len__(self) -> int: ...

    def narrow(self, dim: int, begin: int, end: int) -> "Rows":
        """Some of the rows (`dim` 0), or some of the numbers of each (1)."""
        ...

    def numbers(self, begin: int, end: int) -> Tensor:
        """Rows begin to end-1, contiguous, in a dtype that kernels pack."""
        ...

    def q4_0(self, begin: int, end: int) -> Tensor | None:
        """The same as blocks of Q4_0, uint8 [rows, bytes]; None where the file has another form."""
        ...


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Numbers as they are."""

    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def narrow(self, dim: int, begin: int, end: int) -> "PlainRows":
        return PlainRows(self.rows.narrow(dim, begin, end - begin))

    def numbers(self, begin: int, end: int) -> Tensor:
        return self.rows[begin:end].contiguous()

    def q4_0(self, begin: int, end: int) -> Tensor | None:  # noqa: ARG002
        return None


@dataclass(frozen=True, slots=True)
class BlockRows:
    """Rows of blocks, each of which holds `block_size` numbers in `block_bytes` bytes."""

    blocks: Tensor
    """uint8 [rows, bytes]."""
    block_size: int
    block_bytes: int
    dequantize: Callable[[Tensor], Tensor]
    """Rows of blocks to float32 rows."""
    is_q4_0: bool
    columns: tuple[int, int] | None = None
    """Which numbers of each row: from the first to before the second. None: all."""

    def __len__(self) -> int:
        return len(self.blocks)

    def narrow(self, dim: int, begin: int, end: int) -> "BlockRows":
        if dim == 0:
            return replace(self, blocks=self.blocks[begin:end])
        return replace(self, columns=(begin, end))

    def numbers(self, begin: int, end: int) -> Tensor:
        rows = self.dequantize(self.blocks[begin:end].contiguous())
        return rows if self.columns is None else rows[:, slice(*self.columns)].contiguous()

    def q4_0(self, begin: int, end: int) -> Tensor | None:
        if not self.is_q4_0:
            return None
        if self.columns is None:
            return self.blocks[begin:end].contiguous()
        first, last = (column // self.block_size * self.block_bytes for column in self.columns)
        return self.blocks[begin:end, first:last].contiguous()  # whole blocks: int4 shares inputs by groups of them


def fill(packed: QuantizedWeight, sources: Sequence[Rows]) -> None:
    """Packs the rows of all sources, one below the other. What of the matrix they leave is zeros."""
    missing = packed.outputs - sum(map(len, sources))
    if missing:
        sources = [*sources, PlainRows(torch.zeros(missing, packed.inputs))]
    for begin in range(0, packed.outputs, ROWS_AT_ONCE):
        runs = _runs(sources, begin, min(begin + ROWS_AT_ONCE, packed.outputs))
        if isinstance(packed, Int4Weight):
            blocks = [rows.q4_0(first, last) for rows, first, last in runs]
            known = [some for some in blocks if some is not None]
            if len(known) == len(runs):
                packed.pack_q4_0_(begin, _joined(known))
                continue
        packed.pack_(begin, _joined([rows.numbers(first, last) for rows, first, last in runs]))


def _runs(sources: Sequence[Rows], begin: int, end: int) -> list[tuple[Rows, int, int]]:
    """Where rows begin to end-1 of all lie in each."""
    found, start = [], 0
    for rows in sources:
        first, last = max(begin - start, 0), min(end - start, len(rows))
        if first < last:
            found.append((rows, first, last))
        start += len(rows)
    return found


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
