"""Rotary position embedding: each pair (i, i + E/2) of a head is turned by position * frequency[i].

A `RopeConfig` is a base and, for contexts longer than the model was first trained on, one of the published ways to
slow the frequencies down. The arithmetic is float32 in the order in which models were trained, since an error of one
bit in a frequency grows with the position.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn


class RopeScaling(Protocol):
    """How a long context changes the frequencies."""

    @property
    def magnitude(self) -> float:
        """Multiplies cosine and sine."""
        ...

    def frequencies(self, periods: torch.Tensor, theta: float) -> torch.Tensor:
        """Radians per position, from the unscaled positions per radian."""
        ...


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """All frequencies divided by `factor`: positions are interpolated."""

    factor: float
    magnitude: float = 1.0

    def frequencies(self, periods: torch.Tensor, theta: float) -> torch.Tensor:  # noqa: ARG002
        return 1.0 / periods / self.factor


@dataclass(frozen=True, slots=True)
class FactorScaling:
    """Each frequency divided by a factor of its own."""

    factors: tuple[float, ...]
    magnitude: float = 1.0

    def frequencies(self, periods: torch.Tensor, theta: float) -> torch.Tensor:  # noqa: ARG002
        return 1.0 / periods / torch.tensor(self.factors, dtype=torch.float32)


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Wavelengths beyond the original context are stretched by `factor`, short ones kept, those between blended."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_len: float
    magnitude: float = 1.0

    def frequencies(self, periods: torch.Tensor, theta: float) -> torch.Tensor:  # noqa: ARG002
        frequencies = 1.0 / periods
        wavelengths = 2 * math.pi / frequencies
        is_long = wavelengths > self.original_max_len / self.low_freq_factor
        is_short = wavelengths < self.original_max_len / self.high_freq_factor
        turns = self.original_max_len / wavelengths
        keep = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        blended = (1 - keep) * frequencies / self.factor + keep * frequencies
        return torch.where(is_long, frequencies / self.factor, torch.where(is_short, frequencies, blended))


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """YaRN (arXiv 2309.00071): frequencies that turn less than `beta_slow` times within the original context are
    divided by `factor`, those that turn more than `beta_fast` times kept, with a linear ramp between."""

    factor: float
    original_max_len: float
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    magnitude: float = 1.0
    truncate: bool = True
    """The ramp begins and ends at whole dimensions."""

    def frequencies(self, periods: torch.Tensor, theta: float) -> torch.Tensor:
        keep = 1 - self._ramp(len(periods), theta)
        return (1.0 / (self.factor * periods)) * (1 - keep) + (1.0 / periods) * keep

    def _ramp(self, num_pairs: int, theta: float) -> torch.Tensor:
        low = self._dimension_turning(self.beta_fast, num_pairs, theta)
        high = self._dimension_turning(self.beta_slow, num_pairs, theta)
        if self.truncate:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, 2 * num_pairs - 1)
        width = high - low or 0.001
        return ((torch.arange(num_pairs, dtype=torch.float32) - low) / width).clamp(0, 1)

    def _dimension_turning(self, num_turns: float, num_pairs: int, theta: float) -> float:
        """The dimension (not a whole number) that turns so many times within the original context."""
        return num_pairs * math.log(self.original_max_len / (num_turns * 2 * math.pi)) / math.log(theta)


def yarn_magnitude(factor: float, weight: float = 1.0) -> float:
    """What YaRN multiplies cosine and sine by where the model does not say."""
    return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0


@dataclass(frozen=True, slots=True)
class RopeConfig:
    theta: float = 10_000.0
    scaling: RopeScaling | None = None

    def frequencies(self, head_dim: int) -> torch.Tensor:
        """float32 [E/2], in radians per position."""
        exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
        periods = self.theta**exponents
        return self.scaling.frequencies(periods, self.theta) if self.scaling else 1.0 / periods


class RotaryEmbedding(nn.Module):
    """Turns queries and keys by their positions, from a table of `max_len` rows that all layers share."""

    cos_sin_PE: torch.Tensor  # noqa: N815  # shapes in names

    def __init__(self, config: RopeConfig, head_dim: int, max_len: int) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(max_len, dtype=torch.float32), config.frequencies(head_dim))
        table = torch.cat((angles.cos(), angles.sin()), dim=-1)
        if config.scaling:
            table *= config.scaling.magnitude
        self.register_buffer("cos_sin_PE", table, persistent=False)
