"""How is one operation on a tensor run as fast as the machine can?

One set of names for every device. Knows tensors and addresses; no models and no schedules.
"""

from quire._native import AttentionPlans, KernelClock
from quire.kernels.capture import NotCapturableError, Workspace, capture
from quire.kernels.cpu import (
    AttentionLayout,
    add_rms_norm,
    copy_blocks,
    embedding,
    kv_row_width,
    linear,
    paged_attention,
    qk_norm_rope_store_,
    rms_norm,
    rope_,
    silu_mul,
    store_kv,
)
from quire.kernels.encoder import (
    FASTEST_STORED,
    Nonlinearity,
    PackedWeight,
    encoder_attention,
    fastest_dtype,
    layer_norm,
    linear_packed,
    nonlinear_,
    pack_linear,
)
from quire.kernels.quantized import (
    INT4_GROUP,
    Int4Weight,
    Int8Weight,
    checksum,
    dequantize_q8_0,
    embedding_int8,
    linear_int4,
    linear_int8,
    quantize_int4,
    quantize_int8,
)
from quire.kernels.sampling import draw_tokens_

__all__ = [
    "FASTEST_STORED",
    "INT4_GROUP",
    "AttentionLayout",
    "AttentionPlans",
    "Int4Weight",
    "Int8Weight",
    "KernelClock",
    "Nonlinearity",
    "NotCapturableError",
    "PackedWeight",
    "Workspace",
    "add_rms_norm",
    "capture",
    "checksum",
    "copy_blocks",
    "dequantize_q8_0",
    "draw_tokens_",
    "embedding",
    "embedding_int8",
    "encoder_attention",
    "fastest_dtype",
    "kv_row_width",
    "layer_norm",
    "linear",
    "linear_int4",
    "linear_int8",
    "linear_packed",
    "nonlinear_",
    "pack_linear",
    "paged_attention",
    "qk_norm_rope_store_",
    "quantize_int4",
    "quantize_int8",
    "rms_norm",
    "rope_",
    "silu_mul",
    "store_kv",
]
