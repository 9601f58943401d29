"""From logits to a token: the likeliest one, or one drawn from the filtered distribution by a given uniform number.

    R rows, V vocabulary, K candidates

A row's distribution is held as weights exp((logit - max) / temperature): the likeliest token weighs 1. Every filter is
a floor under the weights (min_p itself; top_k the k-th largest; top_p the smallest weight of the nucleus of what min_p
and top_k left), so equal weights stand or fall together and no result depends on how a sort breaks ties. Tokens are
laid out in the order of their ids when one is drawn. Both make a row's token independent of the other rows.

On a CPU one native call does it (`kernels.draw_tokens_`), elsewhere torch. Knows nothing of sequences. All functions
work on any device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from quire import kernels
from quire.engine.sampling.uniform import RESOLUTION
from quire.sampling_params import SamplingParams

_BLOCK = 128
_FIRST_CANDIDATES = 128
_MORE_CANDIDATES = 16
_COOLEST = 1e-5
_TINY = torch.finfo(torch.float32).tiny


def largest(logits_RV: Tensor) -> tuple[Tensor, Tensor]:
    """The largest logit of every row and its id, the lowest one where several tie; NaN where the row holds one."""
    maxima_RB = _over_blocks(logits_RV, lambda block: block.amax(-1))
    top_R, block_R = maxima_RB.max(-1)
    block_RK, ids_RK = _take_block(logits_RV, block_R, fill=float("-inf"))
    return top_R, ids_RK.gather(1, block_RK.argmax(-1, keepdim=True)).squeeze(1)


def weights_(logits_RV: Tensor, top_R: Tensor, temperature_R: Tensor) -> Tensor:
    """The logits turned, in place, into unnormalised probabilities. `top_R` holds each row's largest logit."""
    # Below the coolest temperature the answer is the likeliest token's, and the division would overflow.
    cooled_RV = logits_RV.sub_(top_R.unsqueeze(1)).div_(temperature_R.clamp(min=_COOLEST).unsqueeze(1))
    return cooled_RV.exp_()


def draw(weights_RV: Tensor, uniforms_R: Tensor) -> Tensor:
    """The token at the point `uniform * total` of the weights laid end to end in the order of their ids."""
    sums_RB = _over_blocks(weights_RV, lambda block: block.sum(-1))
    block_R, rest_R = _inverse_cdf(sums_RB, uniforms_R)
    weights_RK, ids_RK = _take_block(weights_RV, block_R, fill=0.0)
    index_R, _ = _inverse_cdf(weights_RK, rest_R)
    return ids_RK.gather(1, index_R.unsqueeze(1)).squeeze(1)


def has_filter(params: SamplingParams) -> bool:
    return params.top_k > 0 or params.top_p < 1 or params.min_p > 0


@dataclass(frozen=True, slots=True)
class Filters:
    """Per row: top_k (0 keeps all), top_p (1 keeps all), min_p (0 keeps all)."""

    top_k: Tensor
    top_p: Tensor
    min_p: Tensor

    @classmethod
    def of(cls, params: Sequence[SamplingParams], device: torch.device) -> "Filters":
        return cls(
            torch.tensor([max(p.top_k, 0) for p in params], dtype=torch.int64, device=device),
            torch.tensor([p.top_p for p in params], dtype=torch.float64, device=device),
            torch.tensor([p.min_p for p in params], dtype=torch.float32, device=device),
        )

    def select(self, rows: Tensor) -> "Filters":
        return Filters(self.top_k[rows], self.top_p[rows], self.min_p[rows])


def draw_tokens_(
    logits_RV: Tensor, top_R: Tensor, temperature_R: Tensor, filters: Filters, uniforms_R: Tensor, *, is_filtered: bool
) -> Tensor:
    """A token for every row, over all of them where no row `is_filtered`. Overwrites the logits."""
    if logits_RV.device.type == "cpu":
        return kernels.draw_tokens_(
            logits_RV.contiguous(),
            top_R,
            temperature_R,
            uniforms_R,
            top_k_R=filters.top_k,
            top_p_R=filters.top_p,
            min_p_R=filters.min_p,
        )
    weights_RV = weights_(logits_RV, top_R, temperature_R)
    return draw_filtered(weights_RV, filters, uniforms_R) if is_filtered else draw(weights_RV, uniforms_R)


def draw_filtered(
    weights_RV: Tensor, filters: Filters, uniforms_R: Tensor, num_candidates: int = _FIRST_CANDIDATES
) -> Tensor:
    """As `draw`, among the tokens that pass the filters. Looks at the heaviest few tokens first; rows whose floor may
    lie deeper are done again with more."""
    vocab_size = weights_RV.shape[1]
    num_candidates = min(num_candidates, vocab_size)
    heaviest_RK, ids_RK = weights_RV.topk(num_candidates)
    floor_R = _floor(heaviest_RK, weights_RV, filters)
    tokens_R = _draw_candidates(heaviest_RK, ids_RK, floor_R, uniforms_R)
    deeper = (heaviest_RK[:, -1] >= floor_R).nonzero().squeeze(1)
    if num_candidates < vocab_size and len(deeper):
        tokens_R[deeper] = draw_filtered(
            weights_RV[deeper], filters.select(deeper), uniforms_R[deeper], num_candidates * _MORE_CANDIDATES
        )
    return tokens_R


def _floor(heaviest_RK: Tensor, weights_RV: Tensor, filters: Filters) -> Tensor:
    """The least weight that passes, exact where it is above the last candidate's weight.

    min_p and top_k come first; what they leave is `open` where it reaches beyond the candidates. Its nucleus is known
    where it is not open, and where they drop nothing, because the mass of the whole row is known.
    """
    num_candidates, vocab_size = heaviest_RK.shape[1], weights_RV.shape[1]
    top_k_R = filters.top_k.clamp(max=vocab_size)
    kth_R = heaviest_RK.gather(1, (top_k_R - 1).clamp(0, num_candidates - 1).unsqueeze(1)).squeeze(1)
    floor_R = torch.where((top_k_R > 0) & (top_k_R <= num_candidates), kth_R, 0.0).maximum(filters.min_p)
    # Weights that underflow cannot be drawn; without a floor above them a cold row would look for its k-th token there.
    floor_R = floor_R.clamp(min=_TINY)
    is_open_R = heaviest_RK[:, -1] >= floor_R
    drops_R = (top_k_R > 0) | (filters.min_p > 0)

    kept_RK = torch.where(heaviest_RK >= floor_R.unsqueeze(1), heaviest_RK, 0.0)
    mass_RK = kept_RK.cumsum(1, dtype=torch.float64)
    whole_R = _over_blocks(weights_RV, lambda block: block.sum(-1)).sum(1, dtype=torch.float64)
    total_R = torch.where(is_open_R & ~drops_R, whole_R, mass_RK[:, -1])
    nucleus_R = (mass_RK < (filters.top_p * total_R).unsqueeze(1)).sum(1).clamp(max=num_candidates - 1)
    edge_R = kept_RK.gather(1, nucleus_R.unsqueeze(1)).squeeze(1)
    is_known_R = ~(is_open_R & drops_R) if num_candidates < vocab_size else torch.ones_like(is_open_R)
    return torch.where((filters.top_p < 1) & is_known_R, edge_R, floor_R)


def _draw_candidates(heaviest_RK: Tensor, ids_RK: Tensor, floor_R: Tensor, uniforms_R: Tensor) -> Tensor:
    kept_RK = torch.where(heaviest_RK >= floor_R.unsqueeze(1), heaviest_RK, 0.0)
    dropped_last_RK = ids_RK.masked_fill(kept_RK == 0, torch.iinfo(ids_RK.dtype).max)
    order_RK = dropped_last_RK.argsort(1)
    index_R, _ = _inverse_cdf(kept_RK.gather(1, order_RK), uniforms_R)
    return ids_RK.gather(1, order_RK.gather(1, index_R.unsqueeze(1))).squeeze(1)


def _inverse_cdf(weights_RK: Tensor, uniforms_R: Tensor) -> tuple[Tensor, Tensor]:
    """The index whose share of the whole holds the uniform number, and where in that share it lies, uniform again."""
    reach_RK = weights_RK.cumsum(1, dtype=torch.float64)
    target_R1 = (uniforms_R * reach_RK[:, -1]).unsqueeze(1)
    index_R1 = torch.searchsorted(reach_RK, target_R1, right=True).clamp_(max=weights_RK.shape[1] - 1)
    rest_R1 = 1 - (reach_RK.gather(1, index_R1) - target_R1) / weights_RK.gather(1, index_R1)
    return index_R1.squeeze(1), rest_R1.squeeze(1).clamp(0.0, 1 - RESOLUTION)


def _over_blocks(rows_RV: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """`reduce` over the last dimension, for every block of the vocabulary; the last block may be short."""
    num_full = rows_RV.shape[1] // _BLOCK
    tail_RK = rows_RV[:, num_full * _BLOCK :]
    parts = []
    if num_full:
        full_RBK = rows_RV[:, : num_full * _BLOCK].view(rows_RV.shape[0], num_full, _BLOCK)
        parts.append(reduce(full_RBK))
    if tail_RK.shape[1]:
        parts.append(reduce(tail_RK).unsqueeze(1))
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _take_block(rows_RV: Tensor, block_R: Tensor, fill: float) -> tuple[Tensor, Tensor]:
    """The values of one block of each row and their ids; `fill` stands where the last block is short."""
    last = rows_RV.shape[1] - 1
    ids_RK = block_R.unsqueeze(1) * _BLOCK + torch.arange(_BLOCK, device=rows_RV.device)
    values_RK = rows_RV.gather(1, ids_RK.clamp(max=last)).masked_fill(ids_RK > last, fill)
    return values_RK, ids_RK
