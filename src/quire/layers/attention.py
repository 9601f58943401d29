"""Causal attention over the paged KV cache: stores the step's keys and values, then reads each sequence's blocks.

Knows nothing of how blocks are chosen. REQUIRES: the slots of a step lie in blocks that no other sequence reads.
"""

from dataclasses import dataclass

import torch
from torch import nn

from quire import kernels


@dataclass(slots=True)
class AttentionInput:
    """Which tokens of a step belong to which sequence, and where their KV lies. The queries of sequence s are the rows
    query_starts[s] to query_starts[s+1] of the step, and the last tokens of its context.

    T tokens of the step, S sequences, W blocks of the longest one.
    """

    slots: torch.Tensor
    """int64 [T]: where each token's KV goes, block_id * block_size + offset."""
    block_tables: torch.Tensor
    """int32 [S, W]: block ids in order; entries behind a sequence's last block are never read."""
    context_lens: torch.Tensor
    """int32 [S]: tokens visible to the last query, those of this step included."""
    query_starts: torch.Tensor
    """int32 [S+1]."""


class PagedAttention(nn.Module):
    """Attention of one layer. `window`: how many tokens back each token sees, itself included; None is all."""

    def __init__(self, head_dim: int, window: int | None) -> None:
        super().__init__()
        self.scale = head_dim**-0.5
        self.window = window

    def forward(
        self,
        q_THE: torch.Tensor,
        k_TKE: torch.Tensor,
        v_TKE: torch.Tensor,
        kv: torch.Tensor,
        attention: AttentionInput,
    ) -> torch.Tensor:
        """`kv` is this layer's part of the cache, [N, 2, K, B, E]; it is written at `attention.slots`."""
        k_cache, v_cache = kv.unbind(1)
        kernels.store_kv(k_TKE, v_TKE, k_cache, v_cache, attention.slots)
        return kernels.paged_attention(q_THE, k_cache, v_cache, attention, self.scale, self.window)
