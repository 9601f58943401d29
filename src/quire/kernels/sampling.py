"""A token for every row of logits on a CPU, drawn from what the filters leave of its distribution.

Knows nothing of sequences and of where uniform numbers come from. The filters and their order are those of
csrc/kernels/sampling/sampling.h.

Shapes: R rows, V vocabulary.
"""

import torch  # before quire._native, so that both use torch's OpenMP runtime
from torch import Tensor

from quire import _native
from quire.kernels.cpu import address_of_vector, shown


def draw_tokens_(
    logits_RV: Tensor,
    top_R: Tensor,
    temperature_R: Tensor,
    uniforms_R: Tensor,
    *,
    top_k_R: Tensor,
    top_p_R: Tensor,
    min_p_R: Tensor,
) -> Tensor:
    """int64 [R]. `logits_RV` (float32) becomes the unfiltered weights; `top_R` holds each row's largest logit.

    top_k 0, top_p 1 and min_p 0 keep all. A row whose largest logit is no finite number gets token 0.
    """
    rows, vocab = logits_RV.shape
    if logits_RV.dtype is not torch.float32 or not logits_RV.is_contiguous() or not vocab:
        raise ValueError(f"logits is {shown(logits_RV)}; it must be torch.float32, contiguous, with a column at least.")
    tokens_R = torch.empty(rows, dtype=torch.int64)
    _native.draw_tokens(
        logits_RV.data_ptr(),
        address_of_vector("top", top_R, rows, torch.float32),
        address_of_vector("temperature", temperature_R, rows, torch.float32),
        address_of_vector("top_k", top_k_R, rows, torch.int64),
        address_of_vector("top_p", top_p_R, rows, torch.float64),
        address_of_vector("min_p", min_p_R, rows, torch.float32),
        address_of_vector("uniforms", uniforms_R, rows, torch.float64),
        tokens_R.data_ptr(),
        rows,
        vocab,
    )
    return tokens_R
