"""The gate of a SwiGLU feed-forward layer."""

import torch

from quire import kernels
from quire.layers.layer import Layer


class SiluAndMul(Layer):
    """silu(first half) * second half, along the last dimension."""

    def forward(self, x_TI2: torch.Tensor) -> torch.Tensor:
        return kernels.silu_mul(x_TI2)
