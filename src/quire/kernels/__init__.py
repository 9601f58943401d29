"""What a step computes on a tensor, under one set of names for every device.

Answers "run this operation as fast as the machine can". Knows tensors and addresses; no models and no schedules.
"""

from quire.kernels.cpu import (
    AttentionLayout,
    add_rms_norm,
    copy_blocks,
    linear,
    paged_attention,
    rms_norm,
    rope_,
    silu_mul,
    store_kv,
)

__all__ = [
    "AttentionLayout",
    "add_rms_norm",
    "copy_blocks",
    "linear",
    "paged_attention",
    "rms_norm",
    "rope_",
    "silu_mul",
    "store_kv",
]
