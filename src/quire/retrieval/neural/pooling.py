"""One vector per text out of the hidden states of its tokens.

    mean   of all tokens        cls   of the first        last   of the last        max   the largest of all, by element

T tokens, S texts, D hidden size. Sums are float32.
"""

from typing import Literal, TypeAlias, get_args

import torch

Pooling: TypeAlias = Literal["mean", "cls", "last", "max"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


def pool(hidden_TD: torch.Tensor, starts_S: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """float32 [S, D]; text s has the tokens starts[s] to starts[s + 1], one at least."""
    bounds = starts_S.long()
    if pooling == "cls":
        return hidden_TD[bounds[:-1]].float()
    if pooling == "last":
        return hidden_TD[bounds[1:] - 1].float()
    reduce = "mean" if pooling == "mean" else "max"
    pooled_SD: torch.Tensor = torch.segment_reduce(hidden_TD.float(), reduce, lengths=bounds.diff(), axis=0)
    return pooled_SD
