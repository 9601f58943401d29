import pytest
import torch
from torch import nn

from quire.layers.layer import Layer


class Double(Layer):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: float, *, plus: float = 0.0) -> torch.Tensor:
        return self.weight * x + plus


def test_calling_is_forward() -> None:
    assert Double()(3.0, plus=1.0) == 7


def test_a_part_is_one_object_however_it_is_found_and_replaced() -> None:
    outer = Layer()
    outer.inner = Double()
    outer.inner.weight = replaced = nn.Parameter(torch.tensor(5.0))
    assert outer.inner is outer._modules["inner"]
    assert outer.inner.weight is outer.inner._parameters["weight"] is replaced
    assert [name for name, _ in outer.named_parameters()] == ["inner.weight"]
    outer.inner.weight = None
    assert outer.inner.weight is outer.inner._parameters["weight"] is None


def test_hooks_are_refused() -> None:
    for register in (Double().register_forward_hook, Double().register_forward_pre_hook):
        with pytest.raises(TypeError, match="runs no hooks"):
            register(print)
