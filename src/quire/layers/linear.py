"""Linear layers, x @ weight.T + bias, and how tensor parallelism shares their weights.

    column-parallel   each rank has some of the outputs                x_TD whole  ->  y of this rank
    row-parallel      each rank has some of the inputs, sums follow    x of this rank  ->  y_TD whole

A column-parallel layer feeds a row-parallel one without communication between them. With a group of one, each is a
single call of the kernel.
"""

import torch

from quire.layers.layer import Layer
from quire.layers.parameter import Part, Weight
from quire.parallel.group import Group, share


class Linear(Layer):
    """A layer whose weight is made of `parts`, and its bias (if any) of the same rows."""

    def __init__(self, parts: tuple[Part, ...], *, bias: bool, dtype: torch.dtype, group: Group) -> None:
        super().__init__()
        self.weight = Weight(parts, dtype, group)
        self.bias = Weight(tuple(_bias_part(part) for part in parts), dtype, group) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight.project(x, self.bias)


def _bias_part(part: Part) -> Part:
    return Part(part.shape[:1], split_dim=0 if part.split_dim == 0 else None, module=part.module)


class ColumnParallelLinear(Linear):
    """Each rank computes an equal share of the outputs."""

    def __init__(self, in_size: int, out_size: int, *, bias: bool, dtype: torch.dtype, group: Group) -> None:
        share("outputs of a linear layer", out_size, group)
        super().__init__((Part((out_size, in_size), split_dim=0),), bias=bias, dtype=dtype, group=group)


class MergedColumnParallelLinear(Linear):
    """Several column-parallel layers over the same input, computed as one; `out_sizes` are keyed by the names that a
    checkpoint has for them. The output holds this rank's share of each, one after the other."""

    def __init__(
        self, in_size: int, out_sizes: dict[str, int], *, bias: bool, dtype: torch.dtype, group: Group
    ) -> None:
        for name, size in out_sizes.items():
            share(f"outputs of {name}", size, group)
        parts = tuple(Part((size, in_size), split_dim=0, module=name) for name, size in out_sizes.items())
        super().__init__(parts, bias=bias, dtype=dtype, group=group)


class QKVParallelLinear(MergedColumnParallelLinear):
    """Queries, keys and values in one multiplication; whole heads stay on one rank."""

    def __init__(
        self,
        in_size: int,
        head_dim: int,
        num_heads: int,
        num_kv_heads: int,
        *,
        bias: bool,
        dtype: torch.dtype,
        group: Group,
    ) -> None:
        self.head_dim = head_dim
        self.num_heads = share("attention heads", num_heads, group)
        self.num_kv_heads = share("key-value heads", num_kv_heads, group)
        kv_size = num_kv_heads * head_dim
        super().__init__(
            in_size,
            {"q_proj": num_heads * head_dim, "k_proj": kv_size, "v_proj": kv_size},
            bias=bias,
            dtype=dtype,
            group=group,
        )

    def forward(self, x_TD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:  # type: ignore[override]
        """q_THE, k_TKE, v_TKE of this rank: views of one tensor, apart in the first dimension only."""
        heads = super().forward(x_TD).view(len(x_TD), -1, self.head_dim)
        k_begin, v_begin = self.num_heads, self.num_heads + self.num_kv_heads
        return heads[:, :k_begin], heads[:, k_begin:v_begin], heads[:, v_begin:]


class RowParallelLinear(Linear):
    """Each rank multiplies an equal share of the inputs; the results are summed over the ranks."""

    def __init__(self, in_size: int, out_size: int, *, bias: bool, dtype: torch.dtype, group: Group) -> None:
        share("inputs of a linear layer", in_size, group)
        super().__init__((Part((out_size, in_size), split_dim=1),), bias=bias, dtype=dtype, group=group)
        self.group = group

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # The bias must enter the sum once.
        bias = self.bias if self.group.rank == 0 else None
        return self.group.all_reduce(self.weight.project(x, bias))
