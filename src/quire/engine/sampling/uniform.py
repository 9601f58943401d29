"""One uniform number per token, a pure function of (key of the sequence, position in its output).

A counter-based generator (splitmix64 at counter `position` of the stream `key`): nothing is advanced, so what else is
in the batch, preemption and the order of sequences change nothing.
"""

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_WORD = (1 << 64) - 1

RESOLUTION = 2.0**-48
"""Uniform numbers are multiples of it. Coarser than a double, so that u * total stays below total."""


def stream_key(*words: int) -> int:
    """The 64-bit key of the stream that these words name; any integers, taken modulo 2**64."""
    key = np.zeros(1, np.uint64)
    for word in words:
        key = _mix(key + np.array([word & _WORD], np.uint64) + _GAMMA)
    return int(key[0])


def uniforms(keys: NDArray[np.uint64], positions: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A number in [0, 1) for every (key, position)."""
    bits = _mix(keys + (positions + np.uint64(1)) * _GAMMA)
    return (bits >> np.uint64(16)).astype(np.float64) * RESOLUTION


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
