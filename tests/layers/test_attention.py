import pytest
import torch

from quire.layers.attention import AttentionInput, PagedAttention
from quire.layers.rotary import RopeConfig, RotaryEmbedding

RANDOM = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("window", [None, 3])
def test_a_prompt_and_a_decoding_sequence_in_one_step(window):
    """Each query against softmax attention over the tokens it may see, written out."""
    q, k, v = (torch.randn(10, heads, 4, generator=RANDOM) for heads in (4, 2, 2))
    kv = torch.full((6, 2, 2, 4, 4), float("nan"))
    layer = PagedAttention(4, window)
    # Five tokens of the first sequence lie in blocks 4 and 1, the four of the second in block 2, as it decodes later.
    first, second = [16, 17, 18, 19, 4], [8, 9, 10, 11]
    before = AttentionInput(
        slots=torch.tensor(second[:3]),
        block_tables=torch.tensor([[2]], dtype=torch.int32),
        context_lens=torch.tensor([3], dtype=torch.int32),
        query_starts=torch.tensor([0, 3], dtype=torch.int32),
    )
    still, rotary = torch.zeros(6, dtype=torch.int64), RotaryEmbedding(RopeConfig(), 4, 1)  # position 0 turns nothing
    layer(q[5:8], k[5:8], v[5:8], still[:3], rotary, kv, before)
    step = AttentionInput(
        slots=torch.tensor([*first, second[3]]),
        block_tables=torch.tensor([[4, 1], [2, 0]], dtype=torch.int32),
        context_lens=torch.tensor([5, 4], dtype=torch.int32),
        query_starts=torch.tensor([0, 5, 6], dtype=torch.int32),
    )
    rows = [0, 1, 2, 3, 4, 8]
    out = layer(q[rows], k[rows], v[rows], still, rotary, kv, step)
    for row, (begin, token) in zip(out, [*((0, t) for t in range(5)), (5, 8)], strict=True):
        seen = slice(max(begin, token - window + 1) if window else begin, token + 1)
        for head in range(4):
            weights = (k[seen, head // 2] @ q[token, head] / 2).softmax(0)
            torch.testing.assert_close(row[head], weights @ v[seen, head // 2])
