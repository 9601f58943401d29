"""Log-probabilities as they are reported: of the model's own distribution, before any edit, temperature or filter."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_CHUNK_ROWS = 64


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """One position: the token that stands there, and the likeliest ones, likeliest first."""

    token_id: int
    logprob: float
    rank: int
    """1 for the likeliest token: one more than the number of tokens that are likelier."""
    top: tuple[tuple[int, float], ...]


def token_logprobs(logprobs_RV: Tensor, token_ids: Sequence[int], nums_top: Sequence[int]) -> list[TokenLogprobs]:
    """For every row the entry of its token, with as many likeliest ones as it wants."""
    chosen_R1 = torch.tensor(token_ids, dtype=torch.int64, device=logprobs_RV.device).unsqueeze(1)
    logprob_R1 = logprobs_RV.gather(1, chosen_R1)
    ranks_R = (logprobs_RV > logprob_R1).sum(1) + 1
    top_RN, top_ids_RN = logprobs_RV.topk(min(max(nums_top), logprobs_RV.shape[1]))
    columns = (logprob_R1.squeeze(1), ranks_R, top_ids_RN, top_RN)
    rows = zip(token_ids, *(column.tolist() for column in columns), nums_top, strict=True)
    return [
        TokenLogprobs(token_id, logprob, rank, tuple(zip(ids[:num], values[:num], strict=True)))
        for token_id, logprob, rank, ids, values, num in rows
    ]


def prompt_logprobs(logits_TV: Tensor, next_token_ids: Sequence[int], num_top: int) -> list[TokenLogprobs]:
    """The entries of the tokens that follow the positions of `logits_TV`; some rows at a time, to spare memory."""
    entries: list[TokenLogprobs] = []
    for start in range(0, len(next_token_ids), _CHUNK_ROWS):
        token_ids = next_token_ids[start : start + _CHUNK_ROWS]
        logprobs_RV = logits_TV[start : start + _CHUNK_ROWS].log_softmax(1)
        entries += token_logprobs(logprobs_RV, token_ids, [num_top] * len(token_ids))
    return entries
