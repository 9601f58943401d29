"""What a handful of repetitions is worth: mean, spread, interval, percentiles.

Knows nothing of benchmarks, time or files; numbers go in, numbers come out. What cannot be said is NaN, never 0: the
spread of one value, the relative spread around a mean of 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLAKY_CV = 0.20
PERCENTILES = (50.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True)
class Summary:
    """The repetitions of one metric. `REQUIRES:` at least one value."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a summary needs at least one value, got none")

    @property
    def count(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float:
        return math.fsum(self.values) / self.count

    @property
    def sd(self) -> float:
        """Sample standard deviation (n - 1)."""
        if self.count < 2:
            return math.nan
        mean = self.mean
        return math.sqrt(math.fsum((v - mean) ** 2 for v in self.values) / (self.count - 1))

    @property
    def median(self) -> float:
        ordered, middle = sorted(self.values), self.count // 2
        return ordered[middle] if self.count % 2 else (ordered[middle - 1] + ordered[middle]) / 2

    @property
    def ci95(self) -> tuple[float, float]:
        """Where the true mean lies, with 95 % confidence, if repetitions are independent and roughly normal."""
        if self.count < 2:
            return math.nan, math.nan
        half = t_quantile(0.95, self.count - 1) * self.sd / math.sqrt(self.count)
        return self.mean - half, self.mean + half

    @property
    def cv(self) -> float:
        """Coefficient of variation: the spread as a share of the mean."""
        return self.sd / abs(self.mean) if self.mean else math.nan

    @property
    def is_flaky(self) -> bool:
        return self.cv > FLAKY_CV


def percentiles(samples: Sequence[float], points: Sequence[float] = PERCENTILES) -> dict[str, float]:
    """`{"p50": …, "p95": …, "p99": …}`, interpolated between neighbours. Empty samples are a ValueError."""
    if len(samples) == 0:
        raise ValueError("percentiles need at least one sample, got none")
    found = np.percentile(np.asarray(samples, dtype=np.float64), points)
    return {f"p{point:g}": float(value) for point, value in zip(points, found, strict=True)}


def t_quantile(confidence: float, degrees: int) -> float:
    """The t with P(|T| <= t) = confidence, for Student's T with this many degrees of freedom."""
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"degrees is {degrees} and confidence {confidence}; allowed: 1 or more, and between 0 and 1")
    low, high = 0.0, math.pi / 2
    for _ in range(80):
        middle = (low + high) / 2
        if _t_probability(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.tan(low) * math.sqrt(degrees)


def _t_probability(theta: float, degrees: int) -> float:
    """P(|T| <= sqrt(degrees) * tan(theta)): the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4."""
    sine, cosine = math.sin(theta), math.cos(theta)
    is_odd = degrees % 2 == 1
    term = total = (cosine if is_odd else 1.0) if degrees > 1 else 0.0
    for k in range(3 if is_odd else 2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    return 2 / math.pi * (theta + sine * total) if is_odd else sine * total
