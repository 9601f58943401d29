"""Each layer whole, and its ranks together, against the plain product."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from quire.layers.linear import (
    ColumnParallelLinear,
    MergedColumnParallelLinear,
    QKVParallelLinear,
    RowParallelLinear,
)
from quire.parallel.group import SingleGroup
from tests.layers.ranks import Rank, load_all

RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(5, 8, generator=RANDOM)
FLOAT32 = torch.float32


def random(*shape):
    return torch.randn(shape, generator=RANDOM)


@pytest.mark.parametrize("bias", [False, True])
def test_column_parallel_ranks_have_the_outputs_in_order(bias):
    tensors = {"weight": random(12, 8), "bias": random(12)}
    expected = F.linear(X, tensors["weight"], tensors["bias"] if bias else None)
    outputs = []
    for group in (SingleGroup(), Rank(0, 2), Rank(1, 2)):
        layer = ColumnParallelLinear(8, 12, bias=bias, dtype=FLOAT32, group=group)
        load_all(layer, tensors)
        outputs.append(layer(X))
    torch.testing.assert_close(outputs[0], expected)
    torch.testing.assert_close(torch.cat(outputs[1:], dim=-1), expected)


@pytest.mark.parametrize("bias", [False, True])
def test_row_parallel_ranks_sum_to_the_product_and_add_the_bias_once(bias):
    tensors = {"weight": random(6, 8), "bias": random(6)}
    expected = F.linear(X, tensors["weight"], tensors["bias"] if bias else None)
    alone = RowParallelLinear(8, 6, bias=bias, dtype=FLOAT32, group=SingleGroup())
    load_all(alone, tensors)
    torch.testing.assert_close(alone(X), expected)
    total = torch.zeros(5, 6)
    for rank in range(4):
        layer = RowParallelLinear(8, 6, bias=bias, dtype=FLOAT32, group=Rank(rank, 4))
        load_all(layer, tensors)
        total += layer(X[:, rank * 2 : rank * 2 + 2])
    torch.testing.assert_close(total, expected)


def test_merged_outputs_follow_each_other():
    tensors = {"gate.weight": random(6, 8), "up.weight": random(4, 8)}
    for group, gate, up in [(SingleGroup(), slice(0, 6), slice(0, 4)), (Rank(1, 2), slice(3, 6), slice(2, 4))]:
        layer = MergedColumnParallelLinear(8, {"gate": 6, "up": 4}, bias=False, dtype=FLOAT32, group=group)
        load_all(layer, tensors)
        expected = torch.cat((F.linear(X, tensors["gate.weight"][gate]), F.linear(X, tensors["up.weight"][up])), dim=-1)
        torch.testing.assert_close(layer(X), expected)


def test_qkv_keeps_whole_heads_on_a_rank():
    tensors = {
        f"{name}_proj.{kind}": random(*shape)
        for name, heads in (("q", 4), ("k", 2), ("v", 2))
        for kind, shape in (("weight", (heads * 3, 8)), ("bias", (heads * 3,)))
    }

    def heads(name, first, last):
        product = F.linear(X, tensors[f"{name}_proj.weight"], tensors[f"{name}_proj.bias"])
        return product.view(5, -1, 3)[:, first:last]

    for group, q_heads, kv_heads in [(SingleGroup(), (0, 4), (0, 2)), (Rank(1, 2), (2, 4), (1, 2))]:
        layer = QKVParallelLinear(8, 3, 4, 2, bias=True, dtype=FLOAT32, group=group)
        load_all(layer, tensors)
        q, k, v = layer(X)
        torch.testing.assert_close(q, heads("q", *q_heads))
        torch.testing.assert_close(k, heads("k", *kv_heads))
        torch.testing.assert_close(v, heads("v", *kv_heads))
