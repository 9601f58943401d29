"""The draws of other devices than a CPU, made here in torch on one, against the distribution as its definition reads
(tests/reference/sampling.py). Those of a CPU: tests/kernels/test_sampling.py."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quire.engine.sampling.distribution import Filters, draw, draw_filtered, has_filter, weights_
from quire.sampling_params import SamplingParams
from tests.reference import sampling as slow


@settings(deadline=None, max_examples=250)
@example(seed=1, vocab_size=3000, scale=0.5, is_rounded=False, temperature=1.0, top_k=200, top_p=0.1, min_p=0.0)
@example(seed=1, vocab_size=200, scale=0.5, is_rounded=False, temperature=1.0, top_k=150, top_p=0.5, min_p=0.0)
@example(seed=2, vocab_size=3000, scale=0.1, is_rounded=False, temperature=1.0, top_k=200, top_p=0.05, min_p=0.9)
@example(seed=0, vocab_size=200, scale=0.5, is_rounded=False, temperature=1.0, top_k=0, top_p=0.5, min_p=0.01)
@example(
    seed=15,
    vocab_size=3000,
    scale=30.0,
    is_rounded=False,
    temperature=1.0,
    top_k=2500,
    top_p=0.2,
    min_p=0.0,
)
@given(
    seed=st.integers(0, 1000),
    vocab_size=st.sampled_from([3, 50, 128, 200, 3000]),
    scale=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    is_rounded=st.booleans(),
    temperature=st.sampled_from([0.1, 1.0, 3.0]),
    top_k=st.sampled_from([0, 1, 2, 40, 127, 128, 129, 2500]),
    top_p=st.sampled_from([1.0, 0.01, 0.5, 0.9, 0.999]),
    min_p=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
def test_every_draw_is_the_inverse_of_the_distribution(
    seed: int,
    vocab_size: int,
    scale: float,
    is_rounded: bool,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
) -> None:
    """With ties (rounded logits), flat and peaked rows, filters that need few candidates or many."""
    row = torch.randn(1, vocab_size, generator=torch.Generator().manual_seed(seed)) * scale
    row = row.round() if is_rounded else row
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    weights = weights_(row.clone(), row.amax(1), torch.tensor([temperature]))
    uniforms = torch.rand(1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    filters = Filters.of([params], torch.device("cpu"))
    token = draw_filtered(weights, filters, uniforms) if has_filter(params) else draw(weights, uniforms)
    assert slow.is_drawn(row[0].tolist(), params, float(uniforms), int(token))
