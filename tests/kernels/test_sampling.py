"""Native draws against the filtered distribution as its definition reads (tests/reference/sampling.py), on every kernel
family: with ties, flat and peaked rows, and vocabularies off every block and vector boundary."""

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from quire import kernels
from quire.sampling_params import SamplingParams
from tests.reference import sampling as slow

VOCABULARY = 151_936


def draw(logits: torch.Tensor, uniforms: list[float], params: list[SamplingParams]) -> list[int]:
    return kernels.draw_tokens_(
        logits.clone(),
        logits.amax(1),
        torch.tensor([p.temperature for p in params]),
        torch.tensor(uniforms, dtype=torch.float64),
        top_k_R=torch.tensor([max(p.top_k, 0) for p in params]),
        top_p_R=torch.tensor([p.top_p for p in params], dtype=torch.float64),
        min_p_R=torch.tensor([p.min_p for p in params]),
    ).tolist()


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(seed=1, vocab=3000, scale=0.5, is_rounded=False, uniform=0.5, temperature=1.0, top_k=200, top_p=0.1, min_p=0.0)
@example(seed=2, vocab=3000, scale=0.1, is_rounded=True, uniform=0.99, temperature=1.0, top_k=0, top_p=0.999, min_p=0.0)
@example(seed=3, vocab=257, scale=3.0, is_rounded=False, uniform=0.0, temperature=0.1, top_k=2500, top_p=0.5, min_p=0.0)
@given(
    seed=st.integers(0, 1000),
    vocab=st.sampled_from([1, 3, 255, 256, 257, 700, 3000]),
    scale=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    is_rounded=st.booleans(),
    uniform=st.floats(0, 1, exclude_max=True, width=32),
    temperature=st.sampled_from([0.1, 1.0, 3.0]),
    top_k=st.sampled_from([0, 1, 2, 12, 40, 256, 2500]),
    top_p=st.sampled_from([1.0, 0.01, 0.5, 0.9, 0.999]),
    min_p=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
def test_every_draw_is_the_inverse_of_the_distribution(
    isa: str,
    seed: int,
    vocab: int,
    scale: float,
    is_rounded: bool,
    uniform: float,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
) -> None:
    row = torch.randn(1, vocab, generator=torch.Generator().manual_seed(seed)) * scale
    row = row.round() if is_rounded else row
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    (token,) = draw(row, [uniform], [params])
    assert slow.is_drawn(row[0].tolist(), params, uniform, token)


def test_a_real_vocabulary(isa: str) -> None:
    """Peaked as a trained model's, and flat as an untrained one's, where a nucleus is most of the vocabulary."""
    generator = torch.Generator().manual_seed(0)
    for scale in (3.0, 0.02):
        row = torch.randn(1, VOCABULARY, generator=generator) * scale
        for params in (SamplingParams(top_p=0.9), SamplingParams(top_k=50, top_p=0.95)):
            (token,) = draw(row, [0.75], [params])
            assert slow.is_drawn(row[0].tolist(), params, 0.75, token)


def test_a_row_depends_on_no_other(isa: str) -> None:
    logits = torch.randn(5, 1000, generator=torch.Generator().manual_seed(0)) * 4
    uniforms = [0.1, 0.9, 0.5, 0.0, 0.999]
    params = [
        SamplingParams(),
        SamplingParams(top_k=7),
        SamplingParams(top_p=0.9, temperature=2.0),
        SamplingParams(min_p=0.1),
        SamplingParams(top_k=100, top_p=0.3, min_p=0.01),
    ]
    alone = [draw(logits[r : r + 1], [uniforms[r]], [params[r]])[0] for r in range(5)]
    assert draw(logits, uniforms, params) == alone


@pytest.mark.parametrize("params", [SamplingParams(), SamplingParams(top_p=0.99), SamplingParams(top_k=300)], ids=str)
def test_what_is_excluded_is_never_drawn(isa: str, params: SamplingParams) -> None:
    logits = torch.full((1, 600), float("-inf"))
    logits[0, [5, 300, 599]] = torch.tensor([1.0, 1.0, 1.0])
    drawn = {draw(logits, [uniform], [params])[0] for uniform in (0.0, 0.2, 0.5, 0.8, 1 - 2**-48)}
    assert drawn == {5, 300, 599}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_row_without_numbers_gets_token_0_and_spoils_no_other(isa: str, number: float) -> None:
    logits = torch.zeros(2, 300)
    logits[0] = number
    for params in (SamplingParams(), SamplingParams(top_k=3), SamplingParams(top_p=0.5)):
        assert draw(logits, [0.5, 0.5], [params, params])[0] == 0
        assert draw(logits[1:], [0.5], [params])[0] == draw(logits, [0.5, 0.5], [params, params])[1]


def test_wrong_arguments_are_named() -> None:
    logits, vector = torch.zeros(2, 8), torch.ones(2)
    wide = {"top_k_R": torch.zeros(2, dtype=torch.int64), "top_p_R": vector.double(), "min_p_R": vector}
    with pytest.raises(ValueError, match=r"logits is torch.bfloat16 \[2, 8\]"):
        kernels.draw_tokens_(logits.bfloat16(), vector, vector, vector.double(), **wide)
    with pytest.raises(ValueError, match=r"uniforms is torch.float32 \[2\]"):
        kernels.draw_tokens_(logits, vector, vector, vector, **wide)
