"""Causal attention over the paged KV cache: turns the step's queries and keys, stores keys and values, then reads each
sequence's blocks.

Knows nothing of how blocks are chosen. REQUIRES: the slots of a step lie in blocks that no other sequence reads.
"""

from dataclasses import dataclass, field

import torch

from quire import kernels
from quire.layers.layer import Layer
from quire.layers.norm import RMSNorm
from quire.layers.rotary import RotaryEmbedding


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
    plans: kernels.AttentionPlans = field(default_factory=kernels.AttentionPlans)
    """What layers find out about these numbers, for the other layers. Cleared when the numbers change in place."""


class PagedAttention(Layer):
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
        positions_T: torch.Tensor,
        rotary: RotaryEmbedding,
        kv: torch.Tensor,
        attention: AttentionInput,
        *,
        q_norm: RMSNorm | None = None,
        k_norm: RMSNorm | None = None,
    ) -> torch.Tensor:
        """`kv` is this layer's part of the cache, [N, 2, K, B, row]; it is written at `attention.slots`. Each query and
        key head is normalised first where there are norms for it. q and k are changed in place."""
        k_cache, v_cache = kv.unbind(1)
        kernels.qk_norm_rope_store_(
            q_THE,
            k_TKE,
            v_TKE,
            positions_T,
            rotary.cos_sin_PE,
            k_cache,
            v_cache,
            attention.slots,
            q_norm=None if q_norm is None else q_norm.weight,
            k_norm=None if k_norm is None else k_norm.weight,
            eps=0.0 if q_norm is None else q_norm.eps,
        )
        return kernels.paged_attention(q_THE, k_cache, v_cache, attention, self.scale, self.window)
