import math

import pytest
import torch

from quire.layers.activation import SiluAndMul


def test_the_first_half_gates_the_second():
    out = SiluAndMul()(torch.tensor([[0.0, 1.0, -2.0, 5.0, 6.0, 7.0]]))
    silu = [0.0, 1 / (1 + math.exp(-1)), -2 / (1 + math.exp(2))]
    assert out.tolist() == [pytest.approx([silu[0] * 5, silu[1] * 6, silu[2] * 7])]
