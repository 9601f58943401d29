"""Pooling of two texts, worked out by hand."""

import pytest
import torch

from quire.retrieval.neural.pooling import Pooling, pool

HIDDEN = torch.tensor([[1.0, -1.0], [3.0, 1.0], [8.0, 2.0], [0.0, 5.0]])
STARTS = torch.tensor([0, 3, 4], dtype=torch.int32)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", [[4.0, 2 / 3], [0.0, 5.0]]),
        ("cls", [[1.0, -1.0], [0.0, 5.0]]),
        ("last", [[8.0, 2.0], [0.0, 5.0]]),
        ("max", [[8.0, 2.0], [0.0, 5.0]]),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling(pooling: Pooling, expected: list[list[float]], dtype: torch.dtype) -> None:
    found = pool(HIDDEN.to(dtype), STARTS, pooling)
    torch.testing.assert_close(found, torch.tensor(expected))
