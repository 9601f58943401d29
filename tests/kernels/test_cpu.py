"""The row-wise kernels and the KV store against slow references, on widths off every vector boundary."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import _native, kernels
from tests.reference import kernels as slow

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
WIDTHS = [1, 7, 8, 16, 17, 64, 100, 1024]
# One rounding to the dtype, and one more where float32 sums are ordered differently.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 1.6e-2, torch.float16: 2e-3}


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    tolerance = TOLERANCE[expected.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_rms_norm(isa: str, dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(width)
    x, weight = torch.randn(5, width).to(dtype), torch.randn(width).to(dtype)
    close(kernels.rms_norm(x, weight, 1e-6), slow.rms_norm(x, weight, 1e-6))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_add_rms_norm_returns_the_sum_it_normalised(isa: str, dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(width)
    x, residual, weight = (torch.randn(shape).to(dtype) for shape in ((3, width), (3, width), (width,)))
    before = x.clone(), residual.clone()
    normed, total = kernels.add_rms_norm(x, residual, weight, 1e-5)
    assert torch.equal(total, x + residual)
    close(normed, slow.rms_norm(x + residual, weight, 1e-5))
    assert torch.equal(x, before[0])
    assert torch.equal(residual, before[1])


def test_rms_norm_of_many_rows_is_that_of_each(isa: str) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(300, 96), torch.randn(96)
    rows = torch.cat([kernels.rms_norm(row[None], weight, 1e-6) for row in x])
    assert torch.equal(kernels.rms_norm(x, weight, 1e-6), rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("head_dim", [2, 6, 30, 64, 80, 128])
def test_rope_turns_slices_of_a_fused_projection(isa: str, dtype: torch.dtype, head_dim: int) -> None:
    torch.manual_seed(head_dim)
    tokens, heads, kv_heads = 7, 3, 1
    angles = torch.outer(torch.arange(50.0), torch.rand(head_dim // 2))
    cos_sin = torch.cat([angles.cos(), angles.sin()], 1)
    positions = torch.tensor([49, 0, 3, 3, 17, 1, 2])
    qkv = torch.randn(tokens, (heads + 2 * kv_heads) * head_dim).to(dtype)
    q, k, v = qkv.split([heads * head_dim, kv_heads * head_dim, kv_heads * head_dim], 1)
    q, k = q.view(tokens, heads, head_dim), k.view(tokens, kv_heads, head_dim)
    expected_q, expected_k = (slow.rope(x, positions, cos_sin) for x in (q, k))
    expected_v = v.clone()
    kernels.rope_(q, k, positions, cos_sin)
    close(q, expected_q)
    close(k, expected_k)
    assert torch.equal(v, expected_v)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_silu_mul(isa: str, dtype: torch.dtype, width: int) -> None:
    torch.manual_seed(width)
    x = (torch.randn(5, 2 * width) * 4).to(dtype)
    close(kernels.silu_mul(x), slow.silu_mul(x))


def test_silu_at_the_ends_of_the_range(isa: str) -> None:
    gate = torch.tensor([-200.0, -104.0, -88.0, -50.0, 0.0, 50.0, 200.0, 3e38])
    out = kernels.silu_mul(torch.cat([gate, torch.ones(8)])[None])
    torch.testing.assert_close(out[0], torch.nn.functional.silu(gate), rtol=1e-6, atol=1e-30)


@given(bits=st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=40))
@settings(deadline=None, max_examples=50)
def test_every_family_rounds_as_torch_does(bits: list[int]) -> None:
    x = torch.tensor(bits, dtype=torch.int64).to(torch.int32).view(torch.float32)
    x = x[x.isfinite() & ((x.abs() > 1e-30) | (x == 0))]  # vector bfloat16 rounding flushes subnormals
    for dtype in (torch.bfloat16, torch.float16):
        narrow = x.to(dtype)
        narrow = narrow[narrow.isfinite()]
        for name in ("portable", "avx2", "avx512"):
            if _native.set_isa(name) and narrow.numel():
                _, total = kernels.add_rms_norm(narrow, torch.zeros_like(narrow), torch.ones_like(narrow), 1.0)
                assert torch.equal(total, narrow)


def caches(blocks: int, layers: int, kv_heads: int, block_size: int, head_dim: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(blocks, layers, 2, kv_heads, block_size, head_dim).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_store_kv_writes_its_slots_and_nothing_else(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    kv = caches(4, 3, 2, 5, 7, dtype)
    expected = kv.clone()
    k, v = torch.randn(6, 2, 7).to(dtype), torch.randn(6, 2, 7).to(dtype)
    slots = torch.tensor([19, 0, 4, 5, 13, 12])
    for token, slot in enumerate(slots.tolist()):
        expected[slot // 5, 1, 0, :, slot % 5] = k[token]
        expected[slot // 5, 1, 1, :, slot % 5] = v[token]
    kernels.store_kv(k, v, kv[:, 1, 0], kv[:, 1, 1], slots)
    assert torch.equal(kv, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_int8_store_is_each_row_by_its_own_scale(isa: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tokens, kv_heads, block_size, head_dim = 6, 2, 4, 30
    k = (torch.randn(tokens, kv_heads, head_dim) * torch.logspace(-3, 3, tokens)[:, None, None]).to(dtype)
    v = torch.randn(tokens, kv_heads, head_dim).to(dtype)
    v[2, 1] = 0
    kv = torch.zeros(3, 2, 2, kv_heads, block_size, head_dim + 4, dtype=torch.int8)
    slots = torch.tensor([11, 0, 4, 5, 9, 2])
    kernels.store_kv(k, v, kv[:, 1, 0], kv[:, 1, 1], slots)
    assert not kv[:, 0].any()
    for token, slot in enumerate(slots.tolist()):
        for side, x in enumerate((k, v)):
            rows = kv[slot // block_size, 1, side, :, slot % block_size]
            integers, scales = slow.quantize_rows(x[token])
            assert torch.equal(rows[:, :head_dim].double(), integers)
            assert torch.equal(rows[:, head_dim:].contiguous().view(torch.float32).double(), scales)


@pytest.mark.parametrize("cache", ["plain", "int8"])
@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fused_pass_is_the_separate_kernels_to_the_bit(
    isa: str, dtype: torch.dtype, norms: bool, cache: str
) -> None:
    torch.manual_seed(1)
    tokens, heads, kv_heads, head_dim = 9, 4, 2, 40
    row, cache_dtype = (head_dim, dtype) if cache == "plain" else (head_dim + 4, torch.int8)
    kv = [torch.zeros(3, 1, 2, kv_heads, 4, row, dtype=cache_dtype) for _ in range(2)]
    angles = torch.outer(torch.arange(20.0), torch.rand(head_dim // 2))
    cos_sin, positions = torch.cat([angles.cos(), angles.sin()], 1), torch.randperm(20)[:tokens]
    slots = torch.randperm(12)[:tokens]
    qkv = torch.randn(tokens, heads + 2 * kv_heads, head_dim).to(dtype)
    q, k, v = (x.contiguous() for x in qkv.clone().split([heads, kv_heads, kv_heads], 1))
    weights = [torch.randn(head_dim).to(dtype) if norms else None for _ in range(2)]
    if norms:
        q, k = kernels.rms_norm(q, weights[0], 1e-5), kernels.rms_norm(k, weights[1], 1e-5)
    kernels.rope_(q, k, positions, cos_sin)
    kernels.store_kv(k, v, kv[0][:, 0, 0], kv[0][:, 0, 1], slots)

    fused_q, fused_k, fused_v = qkv.split([heads, kv_heads, kv_heads], 1)
    kernels.qk_norm_rope_store_(
        fused_q,
        fused_k,
        fused_v,
        positions,
        cos_sin,
        kv[1][:, 0, 0],
        kv[1][:, 0, 1],
        slots,
        q_norm=weights[0],
        k_norm=weights[1],
        eps=1e-5,
    )
    assert torch.equal(fused_q, q)
    assert torch.equal(kv[1], kv[0])


def test_copy_blocks_copies_all_layers() -> None:
    kv = caches(5, 2, 1, 4, 8, torch.bfloat16)
    expected = kv.clone()
    expected[4], expected[1] = kv[0], kv[2]
    kernels.copy_blocks(kv, torch.tensor([[0, 4], [2, 1]]))
    assert torch.equal(kv, expected)
    kernels.copy_blocks(kv, torch.empty(0, 2, dtype=torch.int64))
    assert torch.equal(kv, expected)


def test_no_rows(isa: str) -> None:
    assert kernels.rms_norm(torch.empty(0, 8), torch.ones(8), 1e-6).shape == (0, 8)
    assert kernels.silu_mul(torch.empty(0, 8)).shape == (0, 4)


def test_wrong_arguments_are_named() -> None:
    x = torch.randn(2, 8)
    with pytest.raises(ValueError, match=r"weight is torch.bfloat16 \[8\].*must be torch.float32 \[8\]"):
        kernels.rms_norm(x, torch.ones(8, dtype=torch.bfloat16), 1e-6)
    with pytest.raises(ValueError, match=r"x is torch\.float64"):
        kernels.silu_mul(x.double())
    with pytest.raises(ValueError, match="contiguous"):
        kernels.rms_norm(x.t(), torch.ones(2), 1e-6)
    with pytest.raises(ValueError, match="head_dim is 3"):
        kernels.rope_(torch.randn(1, 1, 3), torch.randn(1, 1, 3), torch.zeros(1, dtype=torch.int64), torch.ones(1, 3))
    kv = torch.zeros(1, 1, 4, 8)
    with pytest.raises(ValueError, match=r"slots is torch.int32"):
        kernels.store_kv(x[:, None], x[:, None], kv, kv, torch.zeros(2, dtype=torch.int32))
