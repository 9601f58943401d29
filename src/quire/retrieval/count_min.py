"""Count-Min sketch: how often was this key seen, in fixed memory; which keys are seen most, now.

Face of csrc/retrieval/count_min. An estimate is never below the true count, and above it by more than
`error_bound()` with probability at most δ:

    width = ⌈e / ε⌉    depth = ⌈ln 1/δ⌉    error_bound = ε · total

Keys are str, bytes or int (64 bits), and differ by kind: "7", b"7" and 7 are three keys. Does not know time: whoever
wants "hot now" calls `decay(0.5)` once per half-life. Decay rounds down, so d decays by f make an estimate too low by
less than 1 / (1 - f). Safe to use from many threads.
"""

import math
from collections.abc import Callable, Iterable
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from quire._native import CountMin
from quire.errors import ConfigError, InvalidRequestError, shown

Key: TypeAlias = str | bytes | int
Keys: TypeAlias = Iterable[Key] | npt.NDArray[np.int64]

MAX_WIDTH = 2**31
MAX_DEPTH = 32


class CountMinSketch(CountMin):
    """Give either `width` and `depth` or `epsilon` and `delta`; without any, ε is 0.001 and δ 0.01.

    conservative   raise only what must be raised: less error, never more. Off makes merged sketches equal the sketch
                   of the joined streams.
    counter_bits   8, 16 or 32: memory of a cell. No count is lost: large ones continue beside the cells, more slowly.
    num_hitters    how many of the most frequent keys to remember by name; 0 for none.
    seed           sketches with the same seed, width and depth can be merged.
    """

    def __init__(
        self,
        width: int | None = None,
        depth: int | None = None,
        *,
        epsilon: float | None = None,
        delta: float | None = None,
        conservative: bool = True,
        counter_bits: int = 32,
        num_hitters: int = 0,
        seed: int = 0,
    ) -> None:
        if counter_bits not in (8, 16, 32):
            raise ConfigError(f"counter_bits is {shown(counter_bits)}; allowed: 8, 16, 32")
        super().__init__(
            _in_range("width", _either("width", width, "epsilon", epsilon, _width_for), MAX_WIDTH),
            _in_range("depth", _either("depth", depth, "delta", delta, _depth_for), MAX_DEPTH),
            counter_bits,
            conservative,
            _in_range("num_hitters", num_hitters, 2**32, least=0),
            _in_range("seed", seed, 2**56, least=0),
        )

    def add_batch(self, keys: Keys, counts: npt.ArrayLike | None = None) -> None:
        """Counts every key once, or as often as `counts` says (whole numbers, one per key, none negative)."""
        numbers = None if counts is None else _as_counts(counts)
        if isinstance(keys, np.ndarray):
            self.add_integers(_as_integers(keys), numbers)
        else:
            self.add_objects(_as_list(keys), numbers)

    def estimate_batch(self, keys: Keys) -> npt.NDArray[np.uint64]:
        """`estimate` of every key, in their order."""
        if isinstance(keys, np.ndarray):
            return self.estimate_integers(_as_integers(keys))
        return self.estimate_objects(_as_list(keys))

    def merge(self, other: "CountMinSketch") -> Self:
        """Adds the counts of a sketch of the same width, depth and seed. Estimates stay upper bounds."""
        self.merge_native(other)
        return self

    def decay(self, factor: float) -> None:
        """Multiplies every count by `factor`, between 0 (forget all) and 1 (keep all); the rounding is down."""
        if not 0 <= factor <= 1:
            raise InvalidRequestError(f"factor is {shown(factor)}; allowed: 0 to 1", param="factor")
        self.decay_native(factor)

    def heavy_hitters(self, k: int | None = None) -> list[tuple[Key, int]]:
        """The most frequent keys with their estimates, best first; at most `k` and at most `num_hitters`."""
        if k is not None and k < 0:
            raise InvalidRequestError(f"k is {k}; allowed: 0 or more", param="k")
        return self.heavy_hitters_native(2**32 if k is None else k)


def _either(
    size_name: str, size: int | None, rate_name: str, rate: float | None, size_for: Callable[[float | None], int]
) -> int:
    if size is not None and rate is not None:
        raise ConfigError(f"{size_name} is {size} and {rate_name} is {rate}; give one of the two")
    return size if size is not None else size_for(rate)


def _width_for(epsilon: float | None) -> int:
    return math.ceil(math.e / _rate("epsilon", 0.001 if epsilon is None else epsilon))


def _depth_for(delta: float | None) -> int:
    return math.ceil(math.log(1 / _rate("delta", 0.01 if delta is None else delta)))


def _rate(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ConfigError(f"{name} is {shown(value)}; allowed: above 0 and below 1")
    return value


def _in_range(name: str, value: int, most: int, *, least: int = 1) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ConfigError(f"{name} is {shown(value)}; allowed: a whole number from {least} to {most}")
    return value


def _as_list(keys: Iterable[Key]) -> list[Key]:
    if isinstance(keys, str | bytes):
        raise InvalidRequestError(f"keys is the single key {shown(keys)}; give a list of keys", param="keys")
    return keys if isinstance(keys, list) else list(keys)


def _as_integers(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if keys.ndim != 1 or keys.dtype.kind not in "iu" or keys.dtype == np.uint64:
        raise InvalidRequestError(
            f"keys is an array of {keys.dtype}, shape {keys.shape}; allowed: one dimension of signed integers",
            param="keys",
        )
    return np.ascontiguousarray(keys, dtype=np.int64)


def _as_counts(counts: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    numbers = np.asarray(counts)
    if numbers.ndim != 1 or (numbers.size and (numbers.dtype.kind not in "iu" or numbers.min() < 0)):
        raise InvalidRequestError(
            f"counts is {shown(counts)}; allowed: a list of whole numbers, 0 or more", param="counts"
        )
    return np.ascontiguousarray(numbers, dtype=np.uint64)
