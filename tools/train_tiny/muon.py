"""The optimizer of the matrices: momentum whose singular values are all brought to about one.

As torch.optim.Muon computes it, but in float32 and all matrices of one shape at once: torch's rounds to bfloat16, which
processors that do not multiply it emulate at a tenth of the speed. Knows nothing of networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the quintic that drives singular values towards one
NUM_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                by_shape.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in by_shape.items():
                updates = orthogonal(torch.stack([self._momentum(matrix, group["momentum"]) for matrix in matrices]))
                rate = group["lr"] * 0.2 * max(shape) ** 0.5  # steps as large as AdamW's
                for matrix, update in zip(matrices, updates, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update, alpha=rate)

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        """Nesterov's: the gradient, moved on by what has gathered."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["gathered"] = torch.zeros_like(matrix)
        gathered: Tensor = state["gathered"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(gathered, momentum)


def orthogonal(matrices_NRC: Tensor) -> Tensor:
    """The nearest matrices with singular values of about one (0.7 to 1.2), by Newton-Schulz."""
    a, b, c = COEFFICIENTS
    is_tall = matrices_NRC.shape[1] > matrices_NRC.shape[2]
    x: Tensor = matrices_NRC.transpose(1, 2) if is_tall else matrices_NRC
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(NUM_ROUNDS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if is_tall else x
