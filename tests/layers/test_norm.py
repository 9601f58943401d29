import pytest
import torch

from quire.layers.norm import RMSNorm
from tests.layers.ranks import load_all


@pytest.fixture
def norm():
    layer = RMSNorm(2, 0.0, dtype=torch.float32)
    load_all(layer, {"weight": torch.tensor([1.0, 10.0])})
    return layer


def test_by_hand(norm):
    """The root of the mean square of (1, 7) is 5."""
    assert norm(torch.tensor([[1.0, 7.0]])).tolist() == [pytest.approx([0.2, 14.0])]


def test_the_sum_is_normed_and_kept(norm):
    normed, residual = norm.add(torch.tensor([[0.5, 3.0]]), torch.tensor([[0.5, 4.0]]))
    assert residual.tolist() == [[1.0, 7.0]]
    assert normed.tolist() == [pytest.approx([0.2, 14.0])]
