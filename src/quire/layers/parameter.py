"""A parameter that knows how to load itself: which tensors of a checkpoint it is made of, and which slice of each
belongs to this rank.

Knows nothing of files. Invariant: after every part has been loaded, the parameter holds this rank's slices one below
the other, in the parameter's dtype.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812  # its customary name
from torch import nn

from quire import kernels
from quire.parallel.group import Group

Packed: TypeAlias = kernels.Int8Weight | kernels.Int4Weight | kernels.PackedWeight


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of a checkpoint, whole."""

    shape: tuple[int, ...]
    split_dim: int | None = None
    """The dimension that the ranks share in equal slices, the last one shorter where it must be. None: each has all."""
    module: str | None = None
    """What the checkpoint calls the module, where it is not the name of ours (q_proj, of our qkv_proj)."""

    def slice_len(self, num_ranks: int) -> int:
        """Of `split_dim`: how much each rank holds."""
        return -(-self.shape[self.split_dim or 0] // num_ranks)

    def slice_shape(self, num_ranks: int) -> tuple[int, ...]:
        shape = list(self.shape)
        if self.split_dim is not None:
            shape[self.split_dim] = self.slice_len(num_ranks)
        return tuple(shape)


class Weight(nn.Parameter):
    """A parameter made of one part, or of several of equal width below each other.

    rows    [ q of this rank | k of this rank | v of this rank ]
            0              q.end            k.end            v.end
    """

    parts: tuple[Part, ...]
    group: Group
    packed: Packed | None = None
    """The matrix in fewer bits or in another layout; where there is one, linear layers multiply by it."""

    def __new__(cls, parts: tuple[Part, ...], dtype: torch.dtype, group: Group) -> "Weight":
        shapes = [part.slice_shape(group.size) for part in parts]
        rows = sum(shape[0] for shape in shapes)
        # Untouched memory costs nothing: what is adopted from a file replaces it before a page of it exists.
        data = torch.empty((rows, *shapes[0][1:]), dtype=dtype)
        self = super().__new__(cls, data, requires_grad=False)
        self.parts, self.group = parts, group
        return self

    def weight_loader(self, part: Part, tensor: torch.Tensor) -> bool:
        """Takes this rank's slice of `tensor`, the whole of `part`. True: the tensor itself is the parameter now, and
        what it lies in must stay; False: it was copied."""
        is_all = len(self.parts) == 1 and (self.group.size == 1 or part.split_dim is None)
        if is_all and tensor.dtype == self.dtype and tensor.is_contiguous():
            self.data = tensor
            return True
        self._rows_of(part).copy_(self._slice(part, tensor))
        return False

    def use_packed(self, packed: Packed, *, keeps_rows: bool) -> None:
        """From now on linear layers use `packed`. `keeps_rows`: an embedding still reads the plain rows; else their
        memory is given up."""
        self.packed = packed
        if not keeps_rows:
            self.data = self.data.new_empty((0, *self.data.shape[1:]))

    def project(
        self, x: torch.Tensor, bias: torch.Tensor | None = None, nonlinearity: kernels.Nonlinearity = "none"
    ) -> torch.Tensor:
        """nonlinearity(x @ self.T + bias), by the packed matrix if there is one."""
        packed = self.packed
        if isinstance(packed, kernels.PackedWeight):
            return kernels.linear_packed(x, packed, bias, nonlinearity)
        if packed is None:
            product = kernels.linear(x, self, bias)
        elif isinstance(packed, kernels.Int8Weight):
            product = kernels.linear_int8(x, packed, bias)
        else:
            product = kernels.linear_int4(x, packed, bias)
        return product if nonlinearity == "none" else kernels.nonlinear_(product, nonlinearity)

    def look_up(self, ids_T: torch.Tensor) -> torch.Tensor:
        """The rows with these numbers, by the packed matrix if that is all there is."""
        if len(self.data):
            return kernels.embedding(ids_T, self)
        assert isinstance(self.packed, kernels.Int8Weight)
        return kernels.embedding_int8(ids_T, self.packed, self.dtype)

    def share_of(self, part: Part) -> tuple[int, int]:
        """Where this rank's slice of `part` begins and ends, along its `split_dim`."""
        length, size = part.slice_len(self.group.size), part.shape[part.split_dim or 0]
        begin = min(self.group.rank * length, size)
        return begin, min(begin + length, size)

    def _slice(self, part: Part, tensor: torch.Tensor) -> torch.Tensor:
        """This rank's slice, with zeros where a last slice is shorter than the others."""
        if part.split_dim is None or self.group.size == 1:
            return tensor
        begin, end = self.share_of(part)
        mine = tensor.narrow(part.split_dim, begin, end - begin)
        missing = part.slice_len(self.group.size) - (end - begin)
        return F.pad(mine, [0, 0] * (tensor.dim() - 1 - part.split_dim) + [0, missing]) if missing else mine

    def _rows_of(self, part: Part) -> torch.Tensor:
        sizes = [p.slice_shape(self.group.size)[0] for p in self.parts]
        index = self.parts.index(part)
        return self.data.narrow(0, sum(sizes[:index]), sizes[index])
