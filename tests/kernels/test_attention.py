"""Paged attention against one query at a time in float64: mixed batches, odd sizes, windows, shared blocks."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import kernels
from tests.reference import kernels as slow

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


@dataclass
class Layout:
    block_tables: torch.Tensor
    context_lens: torch.Tensor
    query_starts: torch.Tensor
    plans: kernels.AttentionPlans = field(default_factory=kernels.AttentionPlans)


@dataclass
class Case:
    q: torch.Tensor
    k_cache: torch.Tensor
    v_cache: torch.Tensor
    layout: Layout


def make_case(
    sequences: list[tuple[int, int]],  # (context_len, num_queries)
    *,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 16,
    block_size: int = 4,
    dtype: torch.dtype = torch.float32,
    shared_blocks: int = 0,
) -> Case:
    """Blocks in random order; the first `shared_blocks` of every sequence are the same ones."""
    torch.manual_seed(len(sequences))
    width = max((-(-context // block_size) for context, _ in sequences), default=1)
    own = [max(0, -(-context // block_size) - shared_blocks) for context, _ in sequences]
    ids = torch.randperm(shared_blocks + sum(own) + 1).tolist()
    shared = [ids.pop() for _ in range(shared_blocks)]
    tables = torch.zeros(len(sequences), width, dtype=torch.int32)
    for s, count in enumerate(own):
        row = (shared + [ids.pop() for _ in range(count)])[:width]
        tables[s, : len(row)] = torch.tensor(row, dtype=torch.int32)
    kv = torch.randn(shared_blocks + sum(own) + 1, 2, 2, kv_heads, block_size, head_dim).to(dtype)
    starts = torch.tensor([0, *(n for _, n in sequences)]).cumsum(0).to(torch.int32)
    lens = torch.tensor([context for context, _ in sequences], dtype=torch.int32)
    fused = torch.randn(int(starts[-1]), heads + 3, head_dim).to(dtype)
    return Case(fused[:, :heads], kv[:, 1, 0], kv[:, 1, 1], Layout(tables, lens, starts))


def check(case: Case, window: int | None = None, scale: float = 0.3) -> None:
    layout = case.layout
    expected = slow.paged_attention(
        case.q, case.k_cache, case.v_cache, layout.block_tables, layout.context_lens, layout.query_starts, scale, window
    )
    actual = kernels.paged_attention(case.q, case.k_cache, case.v_cache, layout, scale, window)
    tolerance = TOLERANCE[case.q.dtype]
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


MIXED = [(1, 1), (4, 1), (5, 5), (23, 1), (37, 9), (16, 16), (41, 2)]


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 4), (4, 2), (6, 2), (20, 1)])
def test_prefill_and_decode_in_one_call(isa: str, dtype: torch.dtype, heads: int, kv_heads: int) -> None:
    check(make_case(MIXED, heads=heads, kv_heads=kv_heads, dtype=dtype))


@pytest.mark.parametrize("head_dim", [1, 3, 16, 40, 64, 96, 128])
@pytest.mark.parametrize("block_size", [1, 3, 16])
def test_any_head_dim_and_block_size(isa: str, head_dim: int, block_size: int) -> None:
    check(make_case(MIXED, head_dim=head_dim, block_size=block_size))
    check(make_case(MIXED, head_dim=head_dim, block_size=block_size, dtype=torch.bfloat16))


@pytest.mark.parametrize("window", [1, 2, 7, 16, 1000])
def test_window(isa: str, window: int) -> None:
    check(make_case(MIXED), window)


def test_window_never_reads_what_it_hides(isa: str) -> None:
    case = make_case([(40, 3)], block_size=4)
    gone = case.layout.block_tables[0, :7].long()  # positions 0..27, all before 37 - 8
    case.k_cache[gone] = float("nan")
    out = kernels.paged_attention(case.q, case.k_cache, case.v_cache, case.layout, 0.3, 9)
    assert out.isfinite().all()


def test_keys_after_the_query_are_never_read(isa: str) -> None:
    case = make_case([(10, 1), (6, 6)], block_size=16)
    for s, context in enumerate([10, 6]):
        block = case.layout.block_tables[s, 0].item()
        case.k_cache[block, :, context:] = float("nan")
        case.v_cache[block, :, context:] = float("nan")
    check(case)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("shared_blocks", [1, 5, 9])
def test_sequences_that_share_a_prefix(isa: str, dtype: torch.dtype, shared_blocks: int) -> None:
    sequences = [(38, 1), (40, 1), (36, 1), (41, 4), (37, 1), (36, 36)]
    check(make_case(sequences, shared_blocks=shared_blocks, dtype=dtype))
    check(make_case(sequences, shared_blocks=shared_blocks, dtype=dtype), window=11)


def test_prefixes_shared_as_a_tree(isa: str) -> None:
    """All eight share 16 blocks; of these, sequences 0-2 share 20 more, and 3-4 share 17 more; 5 is a fork of 6."""
    torch.manual_seed(3)
    sequences = [(170, 1), (165, 2), (180, 1), (150, 1), (140, 1), (90, 1), (90, 1), (64, 1)]
    case = make_case(sequences, block_size=4)
    tables = case.layout.block_tables
    tables[:, :16] = tables[0, :16].clone()
    tables[1:3, 16:36] = tables[0, 16:36].clone()
    tables[4, 16:33] = tables[3, 16:33].clone()
    tables[5] = tables[6]
    check(case)


@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_any_batch_over_any_shared_blocks(data: st.DataObject) -> None:
    """Tables over very few blocks, so that sequences agree on prefixes of every length."""
    count = data.draw(st.integers(1, 6))
    sequences = []
    for _ in range(count):
        context = data.draw(st.integers(1, 160))
        sequences.append((context, data.draw(st.integers(0, min(context, 5)))))
    case = make_case(sequences, block_size=4, head_dim=8)
    tables = case.layout.block_tables
    parents = [data.draw(st.integers(0, s)) for s in range(count)]
    for s, parent in enumerate(parents):
        length = data.draw(st.integers(0, tables.shape[1]))
        tables[s, :length] = tables[parent, :length].clone()
    check(case)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_a_context_is_cut_where_threads_would_idle(isa: str, threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check(make_case([(1300, 2)], block_size=16, heads=2, kv_heads=1, dtype=torch.bfloat16))
    finally:
        torch.set_num_threads(before)


def test_large_scores_do_not_overflow(isa: str) -> None:
    case = make_case([(33, 5)])
    case.q.mul_(100)
    check(case, scale=10.0)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("head_dim", [3, 40, 64, 128])
@pytest.mark.parametrize("heads", [2, 20])
def test_int8_cache(isa: str, dtype: torch.dtype, head_dim: int, heads: int) -> None:
    """Equal to attention over the cache's numbers, integer times scale; some rows are all zeros."""
    case = make_case(MIXED, heads=heads, head_dim=head_dim, dtype=torch.float32)
    case.k_cache[::2, 0, 1] = 0
    case.q = case.q.to(dtype)
    narrow, exact = [], []
    for cache in (case.k_cache, case.v_cache):
        integers, scales = slow.quantize_rows(cache)
        narrow.append(torch.cat([integers.to(torch.int8), scales.float().contiguous().view(torch.int8)], -1))
        exact.append(integers * scales)
    layout = case.layout
    for window in (None, 7):
        expected = slow.paged_attention(
            case.q, *exact, layout.block_tables, layout.context_lens, layout.query_starts, 0.3, window
        )
        actual = kernels.paged_attention(case.q, *narrow, layout, 0.3, window)
        torch.testing.assert_close(actual, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_empty_batch() -> None:
    check(make_case([]))
    check(make_case([(5, 0), (3, 2)]))


def test_wrong_arguments_are_named() -> None:
    case = make_case([(5, 1)])
    with pytest.raises(ValueError, match="window is 0"):
        kernels.paged_attention(case.q, case.k_cache, case.v_cache, case.layout, 1.0, 0)
    with pytest.raises(ValueError, match="q has 3 heads; a multiple of the cache's 2"):
        kernels.paged_attention(case.q[:, :3], case.k_cache, case.v_cache, case.layout, 1.0)
    case.layout.block_tables = case.layout.block_tables.long()
    with pytest.raises(ValueError, match=r"block_tables is torch.int64"):
        kernels.paged_attention(case.q, case.k_cache, case.v_cache, case.layout, 1.0)
