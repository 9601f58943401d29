"""The gate of a SwiGLU feed-forward layer."""

import torch
from torch import nn

from quire import kernels


class SiluAndMul(nn.Module):
    """silu(first half) * second half, along the last dimension."""

    def forward(self, x_TI2: torch.Tensor) -> torch.Tensor:
        return kernels.silu_mul(x_TI2)
