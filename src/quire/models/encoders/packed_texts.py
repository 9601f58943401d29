"""The tokens of several texts behind each other, without padding: what an encoder reads at once.

    texts        [a a a]  [b b]  [c c c c]
    token_ids     a a a    b b    c c c c        starts   0  3  5  9
    positions     0 1 2    0 1    0 1 2 3

T tokens, S texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class PackedTexts:
    token_ids: torch.Tensor
    """int64."""
    positions: torch.Tensor
    """int64, each text from 0."""
    types: torch.Tensor | None
    """int64: which part of a pair a token belongs to. None: all of them to the first."""
    starts: torch.Tensor
    """int32, one longer than texts: text s has the tokens starts[s] to starts[s + 1]."""


def pack_texts(token_ids: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None) -> PackedTexts:
    """Texts are given by their token ids, `types` (if any) in the same shape. None of them is empty."""
    starts = np.zeros(len(token_ids) + 1, dtype=np.int64)
    np.cumsum([len(ids) for ids in token_ids], out=starts[1:])
    positions = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
    return PackedTexts(
        _joined(token_ids, starts[-1]),
        torch.from_numpy(positions),
        None if types is None else _joined(types, starts[-1]),
        torch.from_numpy(starts.astype(np.int32)),
    )


def _joined(rows: Sequence[Sequence[int]], length: int) -> torch.Tensor:
    return torch.from_numpy(np.fromiter(chain.from_iterable(rows), dtype=np.int64, count=int(length)))
