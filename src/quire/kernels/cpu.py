"""The kernels of a CPU: faces of csrc/kernels that check their arguments and pass addresses.

Knows nothing of models, layers or schedules. float32, bfloat16 and float16, accumulated in float32.

Shapes: T tokens, S sequences, H heads, K KV heads, E head_dim, N blocks, B block_size, I intermediate width, L layers,
W width of a block table. Results are new tensors; a name that ends in `_` writes into its arguments.

Invariant: no address reaches the core before dtype, shape and strides of its tensor were checked. The numbers in
index tensors (slots, block tables, positions) are the caller's word: checking them would read them every step.
"""

import sys
from typing import Protocol

import torch  # before quire._native, so that both use torch's OpenMP runtime
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from quire import _native
from quire.kernels.capture import empty_result

DTYPE_CODES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}


class AttentionLayout(Protocol):
    """Which tokens of the step belong to which sequence, and where the KV of each sequence lies."""

    block_tables: Tensor  # int32 [S, W]
    context_lens: Tensor  # int32 [S], counting the sequence's tokens of this step
    query_starts: Tensor  # int32 [S + 1]: sequence s has the queries [starts[s], starts[s + 1])
    plans: _native.AttentionPlans  # of these very numbers; whoever changes them clears it


def _max_own_linear_rows() -> dict[torch.dtype, int]:
    """Up to how many rows the core's row-major product is faster than torch's: while the memory of the weight bounds
    it, and at any number where oneDNN lacks the instructions and torch falls back to a plain loop.
    Measured with `quire bench kernels --only linear_bf16`."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_bf16 = has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    has_half = has_onednn and torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return {
        torch.float32: 0,
        torch.bfloat16: 64 if has_bf16 else sys.maxsize,
        torch.float16: 64 if has_half else sys.maxsize,
    }


MAX_OWN_LINEAR_ROWS = _max_own_linear_rows()


def linear(x_TK: Tensor, weight_NK: Tensor, bias: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias, over the weight in place; by the faster of the core and oneDNN for this many rows."""
    outputs, inputs = weight_NK.shape
    rows = x_TK.numel() // inputs if inputs else 0
    if rows > MAX_OWN_LINEAR_ROWS.get(x_TK.dtype, 0) or rows == 0 or not x_TK.is_contiguous():
        return F.linear(x_TK, weight_NK, bias)
    if x_TK.shape[-1] != inputs or weight_NK.dtype is not x_TK.dtype or not weight_NK.is_contiguous():
        raise ValueError(
            f"weight is {shown(weight_NK)}; it must be {x_TK.dtype} [outputs, {x_TK.shape[-1]}], contiguous."
        )
    out_TN = empty_result((*x_TK.shape[:-1], outputs), x_TK.dtype)
    code, bias_address = DTYPE_CODES[x_TK.dtype], address_of_vector("bias", bias, outputs, x_TK.dtype)
    _native.linear(x_TK.data_ptr(), weight_NK.data_ptr(), bias_address, out_TN.data_ptr(), rows, inputs, outputs, code)
    return out_TN


def embedding(ids_T: Tensor, table_VD: Tensor) -> Tensor:
    """The rows of the table with these numbers. Raises IndexError where there is none."""
    rows, width = table_VD.shape
    check_index("ids", ids_T, torch.int64, len(ids_T))
    if not table_VD.is_contiguous():
        raise ValueError(f"table is {shown(table_VD)}; it must be contiguous.")
    out_TD = empty_result((len(ids_T), width), table_VD.dtype)
    row_bytes = width * table_VD.itemsize
    _native.embedding(ids_T.data_ptr(), table_VD.data_ptr(), out_TD.data_ptr(), len(ids_T), rows, row_bytes)
    return out_TD


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """The RMS norm of every row; the mean is float32, the normed row is rounded to x's dtype before the weight."""
    width = _check_rows(x, weight)
    out = empty_result(x.shape, x.dtype)
    _native.rms_norm(
        x.data_ptr(), 0, weight.data_ptr(), out.data_ptr(), 0, x.numel() // width, width, eps, DTYPE_CODES[x.dtype]
    )
    return out


def add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """(rms_norm(x + residual), x + residual)."""
    width = _check_rows(x, weight)
    if residual.shape != x.shape or residual.dtype is not x.dtype or not residual.is_contiguous():
        raise ValueError(f"residual is {shown(residual)}; it must be like x, {shown(x)}, and contiguous.")
    out, total = empty_result(x.shape, x.dtype), empty_result(x.shape, x.dtype)
    _native.rms_norm(
        x.data_ptr(),
        residual.data_ptr(),
        weight.data_ptr(),
        out.data_ptr(),
        total.data_ptr(),
        x.numel() // width,
        width,
        eps,
        DTYPE_CODES[x.dtype],
    )
    return out, total


def rope_(q_THE: Tensor, k_TKE: Tensor, positions_T: Tensor, cos_sin_PE: Tensor) -> None:
    """Turns q and k by the angles of their positions (half rotation). cos_sin: float32, cosines then sines."""
    tokens, num_heads, head_dim = q_THE.shape
    num_kv_heads = k_TKE.shape[1]
    code = _check_heads("q", q_THE, q_THE.dtype, tokens, num_heads, head_dim)
    _check_heads("k", k_TKE, q_THE.dtype, tokens, num_kv_heads, head_dim)
    _check_angles(positions_T, cos_sin_PE, tokens, head_dim)
    _native.rope(
        q_THE.data_ptr(),
        k_TKE.data_ptr(),
        q_THE.stride(0),
        k_TKE.stride(0),
        positions_T.data_ptr(),
        cos_sin_PE.data_ptr(),
        tokens,
        num_heads,
        num_kv_heads,
        head_dim,
        code,
    )


def store_kv(k_TKE: Tensor, v_TKE: Tensor, k_cache_NKBE: Tensor, v_cache_NKBE: Tensor, slots_T: Tensor) -> None:
    """Writes each token's K and V into its slot (block_id * block_size + offset); slots must differ.

    An int8 cache has rows of head_dim + 4: the integers, then the float32 by which they are multiplied.
    """
    tokens, num_kv_heads, head_dim = k_TKE.shape
    _check_heads("k", k_TKE, k_TKE.dtype, tokens, num_kv_heads, head_dim)
    _check_heads("v", v_TKE, k_TKE.dtype, tokens, num_kv_heads, head_dim)
    cache = _cache_fields(k_cache_NKBE, v_cache_NKBE, k_TKE.dtype, num_kv_heads, head_dim)
    check_index("slots", slots_T, torch.int64, tokens)
    _native.store_kv(
        k_TKE.data_ptr(), v_TKE.data_ptr(), k_TKE.stride(0), v_TKE.stride(0), cache, slots_T.data_ptr(), tokens
    )


def qk_norm_rope_store_(
    q_THE: Tensor,
    k_TKE: Tensor,
    v_TKE: Tensor,
    positions_T: Tensor,
    cos_sin_PE: Tensor,
    k_cache_NKBE: Tensor,
    v_cache_NKBE: Tensor,
    slots_T: Tensor,
    *,
    q_norm: Tensor | None = None,
    k_norm: Tensor | None = None,
    eps: float = 1e-6,
) -> None:
    """rms_norm of every query and key head (given their weights), rope_ and store_kv in one pass over the tokens.

    q and k are changed in place; the results are those of the separate kernels to the bit.
    """
    tokens, num_heads, head_dim = q_THE.shape
    num_kv_heads = k_TKE.shape[1]
    dtype = q_THE.dtype
    _check_heads("q", q_THE, dtype, tokens, num_heads, head_dim)
    _check_heads("k", k_TKE, dtype, tokens, num_kv_heads, head_dim)
    _check_heads("v", v_TKE, dtype, tokens, num_kv_heads, head_dim)
    _check_angles(positions_T, cos_sin_PE, tokens, head_dim)
    cache = _cache_fields(k_cache_NKBE, v_cache_NKBE, dtype, num_kv_heads, head_dim)
    check_index("slots", slots_T, torch.int64, tokens)
    _native.prepare_qkv(
        q_THE.data_ptr(),
        k_TKE.data_ptr(),
        v_TKE.data_ptr(),
        q_THE.stride(0),
        k_TKE.stride(0),
        v_TKE.stride(0),
        positions_T.data_ptr(),
        cos_sin_PE.data_ptr(),
        address_of_vector("q_norm", q_norm, head_dim, dtype),
        address_of_vector("k_norm", k_norm, head_dim, dtype),
        eps,
        cache,
        slots_T.data_ptr(),
        tokens,
        num_heads,
    )


def paged_attention(
    q_THE: Tensor,
    k_cache_NKBE: Tensor,
    v_cache_NKBE: Tensor,
    attn: AttentionLayout,
    scale: float,
    window: int | None = None,
) -> Tensor:
    """Causal attention of every query over its sequence's blocks; prefill chunks and decode rows may be mixed.

    A sequence's queries are its last tokens, and their K and V are already stored. With a window, a token sees
    itself and the window - 1 tokens before it. Without queries the result is empty.
    """
    tokens, num_heads, head_dim = q_THE.shape
    num_kv_heads = k_cache_NKBE.shape[1]
    _check_heads("q", q_THE, q_THE.dtype, tokens, num_heads, head_dim)
    cache = _cache_fields(k_cache_NKBE, v_cache_NKBE, q_THE.dtype, num_kv_heads, head_dim)
    num_sequences, table_width = attn.block_tables.shape
    check_index("block_tables", attn.block_tables, torch.int32, num_sequences, table_width)
    check_index("context_lens", attn.context_lens, torch.int32, num_sequences)
    check_index("query_starts", attn.query_starts, torch.int32, num_sequences + 1)
    if num_heads % num_kv_heads:
        raise ValueError(f"q has {num_heads} heads; a multiple of the cache's {num_kv_heads} is needed.")
    if not scale > 0:
        raise ValueError(f"scale is {scale}; allowed: above 0.")
    if window is not None and window < 1:
        raise ValueError(f"window is {window}; allowed: at least 1, or None for all tokens before.")
    out_THE = empty_result(q_THE.shape, q_THE.dtype)
    _native.paged_attention(
        q_THE.data_ptr(),
        q_THE.stride(0),
        out_THE.data_ptr(),
        cache,
        attn.block_tables.data_ptr(),
        attn.context_lens.data_ptr(),
        attn.query_starts.data_ptr(),
        table_width,
        num_sequences,
        num_heads,
        window,
        scale,
        attn.plans,
    )
    return out_THE


def silu_mul(x_T2I: Tensor) -> Tensor:
    """silu(first half of every row) * second half."""
    width = x_T2I.shape[-1] // 2
    if x_T2I.dtype not in DTYPE_CODES or x_T2I.shape[-1] % 2 or not x_T2I.is_contiguous():
        raise ValueError(f"x is {shown(x_T2I)}; it must have rows of even width, contiguous, {_allowed_dtypes()}.")
    out_TI = empty_result((*x_T2I.shape[:-1], width), x_T2I.dtype)
    rows = out_TI.numel() // max(width, 1)
    _native.silu_mul(x_T2I.data_ptr(), out_TI.data_ptr(), rows, width, DTYPE_CODES[x_T2I.dtype])
    return out_TI


def copy_blocks(kv_NL2KBE: Tensor, pairs_C2: Tensor) -> None:
    """Copies whole blocks, all layers at once: pairs of (from, to). No block may be both read and written."""
    if not kv_NL2KBE.is_contiguous():
        raise ValueError(f"kv is {shown(kv_NL2KBE)}; it must be contiguous.")
    check_index("pairs", pairs_C2, torch.int64, len(pairs_C2), 2)
    block_bytes = kv_NL2KBE.stride(0) * kv_NL2KBE.element_size()
    _native.copy_blocks(kv_NL2KBE.data_ptr(), block_bytes, pairs_C2.data_ptr(), len(pairs_C2))


def check_matrix(x: Tensor, width: int) -> int:
    """The number of rows of x, all its leading dimensions taken together."""
    if x.shape[-1] != width or x.dtype not in DTYPE_CODES or not x.is_contiguous():
        raise ValueError(f"x is {shown(x)}; it must have contiguous rows of {width}, {_allowed_dtypes()}.")
    return x.numel() // width if width else 0


def address_of_vector(name: str, x: Tensor | None, width: int, dtype: torch.dtype) -> int:
    """Where x lies; 0 stands for None."""
    if x is None:
        return 0
    if x.shape != (width,) or x.dtype is not dtype or not x.is_contiguous():
        raise ValueError(f"{name} is {shown(x)}; it must be {dtype} [{width}], contiguous.")
    return x.data_ptr()


def _check_rows(x: Tensor, weight: Tensor) -> int:
    width = x.shape[-1]
    if x.dtype not in DTYPE_CODES or not x.is_contiguous():
        raise ValueError(f"x is {shown(x)}; it must be contiguous, {_allowed_dtypes()}.")
    if weight.shape != (width,) or weight.dtype is not x.dtype or not weight.is_contiguous():
        raise ValueError(f"weight is {shown(weight)}; it must be {x.dtype} [{width}], contiguous.")
    return width


def _check_heads(name: str, x: Tensor, dtype: torch.dtype, tokens: int, heads: int, head_dim: int) -> int:
    """Rows may lie apart (a slice of a fused projection); the heads of one row may not."""
    code = DTYPE_CODES.get(x.dtype)
    if code is None or x.dtype is not dtype or x.shape != (tokens, heads, head_dim) or x.stride()[1:] != (head_dim, 1):
        raise ValueError(
            f"{name} is {shown(x)}; it must be {dtype} [{tokens}, {heads}, {head_dim}] with the heads of a token"
            f" side by side, {_allowed_dtypes()}."
        )
    return code


def kv_row_width(head_dim: int, dtype: torch.dtype) -> int:
    """Elements of one token's key or value of one head in a cache of `dtype`: an int8 row ends with its scale."""
    return head_dim + 4 if dtype is torch.int8 else head_dim


def _cache_fields(
    k_cache: Tensor, v_cache: Tensor, dtype: torch.dtype, num_kv_heads: int, head_dim: int
) -> tuple[int, int, int, int, int, int, int, int, bool]:
    """A layer's cache as the core takes it: addresses, block strides in bytes, sizes, formats."""
    is_int8 = k_cache.dtype is torch.int8
    row = kv_row_width(head_dim, k_cache.dtype)
    block_size = k_cache.shape[2]
    for name, cache in (("k_cache", k_cache), ("v_cache", v_cache)):
        if (
            (cache.dtype is not dtype and cache.dtype is not torch.int8)
            or cache.dtype is not k_cache.dtype
            or cache.shape[1:] != (num_kv_heads, block_size, row)
            or cache.stride()[1:] != (block_size * row, row, 1)
        ):
            raise ValueError(
                f"{name} is {shown(cache)}; it must be [blocks, {num_kv_heads}, {block_size}, row], each block"
                f" contiguous, with rows of {head_dim} {dtype} or of {head_dim} + 4 torch.int8."
            )
    size = k_cache.element_size()
    return (
        k_cache.data_ptr(),
        v_cache.data_ptr(),
        k_cache.stride(0) * size,
        v_cache.stride(0) * size,
        num_kv_heads,
        block_size,
        head_dim,
        DTYPE_CODES[dtype],
        is_int8,
    )


def _check_angles(positions: Tensor, cos_sin: Tensor, tokens: int, head_dim: int) -> None:
    check_index("positions", positions, torch.int64, tokens)
    if cos_sin.dtype is not torch.float32 or cos_sin.shape[-1] != head_dim or not cos_sin.is_contiguous():
        raise ValueError(f"cos_sin is {shown(cos_sin)}; it must be float32 [positions, {head_dim}], contiguous.")
    if head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}; rotation pairs the halves of a head, so it must be even.")


def check_index(name: str, x: Tensor, dtype: torch.dtype, *shape: int) -> None:
    if x.dtype is not dtype or x.shape != shape or not x.is_contiguous():
        raise ValueError(f"{name} is {shown(x)}; it must be {dtype} {list(shape)}, contiguous.")


def _allowed_dtypes() -> str:
    return "of float32, bfloat16 or float16"


def shown(x: Tensor) -> str:
    return f"{x.dtype} {list(x.shape)} with strides {list(x.stride())}"
