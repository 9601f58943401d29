"""Normalisation, alone and joined with the residual sum before it: by the root mean square in decoders, by mean and
deviation in encoders. Every rank normalises whole vectors, so there is no group."""

import torch

from quire import kernels
from quire.layers.layer import Layer
from quire.layers.parameter import Part, Weight
from quire.parallel.group import SingleGroup


class RMSNorm(Layer):
    def __init__(self, size: int, eps: float, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = Weight((Part((size,)),), dtype, SingleGroup())
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return kernels.rms_norm(x, self.weight, self.eps)

    def add(self, x: torch.Tensor, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The norm of `x + residual`, and the sum itself."""
        return kernels.add_rms_norm(x, residual, self.weight, self.eps)


class LayerNorm(Layer):
    def __init__(self, size: int, eps: float, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = Weight((Part((size,)),), dtype, SingleGroup())
        self.bias = Weight((Part((size,)),), dtype, SingleGroup())
        self.eps = eps

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """The norm of x, or of `x + residual`."""
        return kernels.layer_norm(x, self.weight, self.bias, self.eps, residual)
