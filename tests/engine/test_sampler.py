"""The sampler against its definition, one row at a time (tests/reference/sampling.py), and its promises: a request's
tokens are its own, a row fails alone, every parameter counts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.engine.sampler import Sampler, prompt_logprobs
from quire.engine.sampling.uniform import stream_key, uniforms
from quire.sampling_params import SamplingParams
from quire.sequence import Sequence
from tests.reference import sampling as slow

EOS = 3


def sequence(seq_id: int = 0, prompt: list[int] | None = None, **params: Any) -> Sequence:
    chosen = SamplingParams(max_tokens=10_000, **params)
    return Sequence(seq_id, f"r{seq_id}", prompt or [1, 2], chosen, max_tokens=10_000, arrival_s=0.0)


def sampler_of(*sequences: Sequence, vocab_size: int, seed: int = 0, **add: Any) -> Sampler:
    sampler = Sampler(vocab_size, seed, frozenset({EOS}))
    for seq in sequences:
        sampler.add(seq, **add)
    return sampler


def random_logits(num_rows: int, vocab_size: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return torch.randn(num_rows, vocab_size, generator=torch.Generator().manual_seed(seed)) * scale


def step(sampler: Sampler, sequences: list[Sequence], logits: torch.Tensor) -> list[int]:
    output = sampler.sample(logits.clone(), sequences)
    assert not output.failures
    for seq, token_id in zip(sequences, output.token_ids, strict=True):
        seq.token_ids.append(token_id)
    return output.token_ids


def frequencies(num_draws: int, row: torch.Tensor, **params: Any) -> torch.Tensor:
    """How often each token comes in `num_draws` draws from the same row."""
    seq = sequence(seed=1, **params)
    sampler = sampler_of(seq, vocab_size=len(row))
    counts = torch.zeros(len(row))
    for _ in range(num_draws):
        counts[sampler.sample(row[None].clone(), [seq]).token_ids[0]] += 1
        seq.token_ids.append(0)  # only the position counts
    return counts


# --- greedy ---


@pytest.mark.parametrize("vocab_size", [1, 5, 128, 129, 1000])
def test_greedy_takes_the_largest_logit_and_of_equal_ones_the_lowest_id(vocab_size: int) -> None:
    logits = random_logits(4, vocab_size).round()
    sequences = [sequence(i, temperature=0) for i in range(4)]
    expected = [row.index(max(row)) for row in logits.tolist()]
    assert sampler_of(*sequences, vocab_size=vocab_size).sample(logits, sequences).token_ids == expected


def test_greedy_ignores_filters_and_seed() -> None:
    logits = random_logits(1, 300)
    seq = sequence(temperature=0, top_k=5, top_p=0.5, seed=4)
    assert step(sampler_of(seq, vocab_size=300), [seq], logits) == [int(logits.argmax())]


# --- draws follow the filtered distribution ---

FILTERS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 4},
    {"top_p": 0.7},
    {"min_p": 0.2},
    {"top_k": 6, "top_p": 0.8, "temperature": 1.5},
    {"min_p": 0.05, "top_p": 0.9},
    {"top_k": 1},
]


@pytest.mark.parametrize("params", FILTERS, ids=str)
def test_draws_follow_the_distribution(params: dict[str, Any]) -> None:
    num_draws, row = 2000, random_logits(1, 12, scale=1.5)[0]
    expected = np.array(slow.distribution(row.tolist(), SamplingParams(**params))) * num_draws
    counts = frequencies(num_draws, row, **params).numpy()
    possible = expected > 0
    assert counts[~possible].sum() == 0
    chi_square = float(((counts - expected)[possible] ** 2 / expected[possible]).sum())
    # The 0.9999 quantile of chi-square with up to 11 degrees of freedom is 37.4.
    assert chi_square < 37.4


def test_a_large_vocabulary_is_drawn_from_to_its_last_token() -> None:
    row = torch.full((1, 70_001), -20.0)
    row[0, 70_000] = 20.0
    for params in ({}, {"top_p": 0.9}, {"top_k": 3}):
        seq = sequence(seed=0, **params)
        assert step(sampler_of(seq, vocab_size=70_001), [seq], row) == [70_000]


@pytest.mark.parametrize("temperature", [1e-300, 1e-6, 0.001])
def test_very_cold_is_greedy(temperature: float) -> None:
    logits = random_logits(1, 400) * 100
    for params in ({}, {"top_k": 50}, {"top_p": 0.9}):
        seq = sequence(temperature=temperature, **params)
        assert step(sampler_of(seq, vocab_size=400), [seq], logits) == [int(logits.argmax())]


# --- reproducible ---

MIXED: list[dict[str, Any]] = [
    {"seed": 7, "top_p": 0.95},
    {"seed": 7, "top_k": 20, "repetition_penalty": 1.2},
    {"seed": 7},
    {"seed": 7, "min_p": 0.02, "temperature": 1.5},
]


@pytest.mark.parametrize("params", MIXED, ids=str)
def test_a_seeded_request_has_its_tokens_alone_and_among_others(params: dict[str, Any]) -> None:
    vocab_size, num_steps = 1500, 12
    logits = [random_logits(16, vocab_size, seed=s, scale=1.0) for s in range(num_steps)]
    alone = sequence(0, **params)
    sampler = sampler_of(alone, vocab_size=vocab_size)
    expected = [step(sampler, [alone], row[5:6])[0] for row in logits]

    others = [sequence(i, temperature=i % 3, top_k=10 * i, top_p=1 - (i - 100) / 40) for i in range(100, 115)]
    batch = [*others[:5], sequence(50, **params), *others[5:]]
    sampler = sampler_of(*batch, vocab_size=vocab_size, seed=99)
    assert [step(sampler, batch, row)[5] for row in logits] == expected


def test_unseeded_requests_follow_the_seed_of_the_engine() -> None:
    def run(engine_seed: int) -> list[list[int]]:
        batch = [sequence(i) for i in range(3)]
        sampler = sampler_of(*batch, vocab_size=1000, seed=engine_seed)
        return [step(sampler, batch, torch.zeros(3, 1000)) for _ in range(4)]

    assert run(5) == run(5)
    assert run(5) != run(6)
    assert len({*run(5)[0]}) == 3, "requests draw apart"


def test_forks_draw_apart_and_a_seed_fixes_all_of_them() -> None:
    def run(first_id: int) -> list[list[int]]:
        parent = sequence(first_id, seed=11, n=3)
        sampler = sampler_of(parent, vocab_size=1000)
        family = [parent, *(parent.fork(first_id + i, i) for i in (1, 2))]
        for child in family[1:]:
            sampler.fork(parent, child)
        return [step(sampler, family, torch.zeros(3, 1000)) for _ in range(5)]

    assert run(0) == run(70)
    assert len({*run(0)[0]}) == 3


def test_uniforms_are_uniform_and_independent_of_neighbouring_keys_and_positions() -> None:
    keys = np.array([stream_key(0, 0, i) for i in range(100)], np.uint64).repeat(100)
    numbers = uniforms(keys, np.tile(np.arange(100, dtype=np.uint64), 100)).reshape(100, 100)
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(numbers[:, :-1].ravel(), numbers[:, 1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(numbers[:-1].ravel(), numbers[1:].ravel())[0, 1]) < 0.03


# --- edits of the logits ---


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 1000),
    repetition=st.sampled_from([1.0, 1.5, 0.5]),
    frequency=st.sampled_from([0.0, 0.7, -0.5]),
    presence=st.sampled_from([0.0, 1.2, -1.0]),
    bias=st.dictionaries(st.integers(0, 19), st.floats(-5, 5), max_size=4),
    allowed=st.none() | st.lists(st.integers(0, 19), min_size=5, max_size=15),
    min_tokens=st.integers(0, 4),
)
def test_greedy_tokens_follow_the_edited_logits(
    seed: int,
    repetition: float,
    frequency: float,
    presence: float,
    bias: dict[int, float],
    allowed: list[int] | None,
    min_tokens: int,
) -> None:
    seq = sequence(
        prompt=[1, 2, 2],
        temperature=0,
        repetition_penalty=repetition,
        frequency_penalty=frequency,
        presence_penalty=presence,
        logit_bias=bias,
        allowed_token_ids=allowed,
        min_tokens=min_tokens,
        stop_token_ids=[4],
    )
    other = sequence(1, temperature=0)
    bad_words = [[6], [7, 8], [9, 9]]
    sampler = sampler_of(seq, other, vocab_size=20, bad_words=bad_words)
    for s in range(6):
        logits = random_logits(2, 20, seed=1000 * seed + s, scale=2.0)
        expected = slow.edited(
            logits[1].tolist(), seq.params, [1, 2, 2], seq.output_token_ids, stop_ids={EOS, 4}, bad_words=bad_words
        )
        if max(expected) == -math.inf:
            return
        step(sampler, [other, seq], logits)
        assert math.isclose(expected[seq.token_ids[-1]], max(expected), abs_tol=1e-4)


def row_with(vocab_size: int = 20, **logits: float) -> torch.Tensor:
    """A row of zeros with some logits, `t5=3.0` that of token 5."""
    row = torch.zeros(1, vocab_size)
    for name, value in logits.items():
        row[0, int(name[1:])] = value
    return row


def first_tokens(
    num_tokens: int, row: torch.Tensor, bad_words: list[list[int]] | None = None, **params: Any
) -> list[int]:
    seq = sequence(temperature=0, **params)
    sampler = sampler_of(seq, vocab_size=row.shape[1], bad_words=bad_words or [])
    return [step(sampler, [seq], row)[0] for _ in range(num_tokens)]


def test_each_edit_counts() -> None:
    row = row_with(t5=4.0, t6=3.0, t7=2.0)
    assert first_tokens(2, row) == [5, 5]
    assert first_tokens(1, row, logit_bias={6: 1.5}) == [6]
    assert first_tokens(1, row, allowed_token_ids=[6, 7]) == [6]
    assert first_tokens(3, row, presence_penalty=1.5) == [5, 6, 5]
    assert first_tokens(3, row, frequency_penalty=0.75) == [5, 5, 6]
    assert first_tokens(3, row, repetition_penalty=1.5) == [5, 6, 5]
    assert first_tokens(3, row, bad_words=[[5, 5], [6]]) == [5, 7, 5]
    prompted = sequence(prompt=[5], temperature=0, repetition_penalty=2.0)
    assert step(sampler_of(prompted, vocab_size=20), [prompted], row) == [6], "the prompt counts for repetition"
    prompted = sequence(prompt=[5], temperature=0, presence_penalty=2.0, frequency_penalty=2.0)
    assert step(sampler_of(prompted, vocab_size=20), [prompted], row) == [5], "and for nothing else"


def test_min_tokens_holds_back_the_end_and_stop_tokens() -> None:
    row = row_with(t3=5.0, t4=4.0, t5=3.0)
    assert first_tokens(3, row, min_tokens=2) == [4, 4, EOS]
    assert first_tokens(3, row, min_tokens=2, stop_token_ids=[4]) == [5, 5, EOS]
    assert first_tokens(3, row, min_tokens=2, stop_token_ids=[4], ignore_eos=True) == [EOS, EOS, EOS]


def test_penalties_survive_a_fork_and_then_part() -> None:
    row = row_with(t5=4.0, t6=3.9)
    parent = sequence(0, temperature=0, frequency_penalty=0.3)
    sampler = sampler_of(parent, vocab_size=20)
    assert step(sampler, [parent], row) == [5]
    child = parent.fork(1, 1)
    sampler.fork(parent, child)
    assert step(sampler, [child], row) == [6], "the child knows the parent's 5"
    assert step(sampler, [parent, child], torch.cat([row_with(t6=1.0, t7=0.9), row_with(t6=1.0, t7=0.9)])) == [6, 7]


def test_penalties_count_many_distinct_tokens() -> None:
    seq = sequence(temperature=0, presence_penalty=2.0)
    sampler = sampler_of(seq, vocab_size=100)
    descending = torch.linspace(1.0, 0.0, 100)[None]
    assert [step(sampler, [seq], descending)[0] for _ in range(100)] == list(range(100))


# --- log-probabilities ---


def test_logprobs_are_those_of_the_model_whatever_the_parameters() -> None:
    logits = random_logits(3, 40)
    sequences = [
        sequence(0, temperature=0, logprobs=3),
        sequence(1),
        sequence(2, temperature=2.0, top_k=3, logit_bias={9: 50.0}, logprobs=0),
    ]
    output = sampler_of(*sequences, vocab_size=40).sample(logits.clone(), sequences)
    assert output.logprobs[1] is None
    for row, num_top in ((0, 3), (2, 0)):
        entry = output.logprobs[row]
        assert entry is not None
        expected = logits[row].double().log_softmax(0)
        order = expected.argsort(descending=True).tolist()
        assert entry.token_id == output.token_ids[row]
        assert entry.logprob == pytest.approx(float(expected[entry.token_id]), abs=1e-5)
        assert order[entry.rank - 1] == entry.token_id
        assert [token_id for token_id, _ in entry.top] == order[:num_top]
        assert [value for _, value in entry.top] == pytest.approx(expected[order[:num_top]].tolist(), abs=1e-5)
    assert output.token_ids[2] == 9


def test_prompt_logprobs_of_a_long_prompt() -> None:
    logits, token_ids = random_logits(150, 30), [t % 30 for t in range(150)]
    entries = prompt_logprobs(logits, token_ids, 2)
    expected = logits.double().log_softmax(1)
    assert [entry.token_id for entry in entries] == token_ids
    for t, entry in enumerate(entries):
        assert entry.logprob == pytest.approx(float(expected[t, token_ids[t]]), abs=1e-5)
        assert entry.top[0][0] == int(expected[t].argmax())
        assert len(entry.top) == 2
    assert prompt_logprobs(logits[:0], [], 2) == []


# --- failures ---


@pytest.mark.parametrize("params", [{"temperature": 0}, {}, {"top_k": 5}, {"top_p": 0.5}, {"logprobs": 2}], ids=str)
@pytest.mark.parametrize("damage", [math.nan, math.inf])
def test_a_row_that_is_not_numbers_fails_alone(params: dict[str, Any], damage: float) -> None:
    logits = random_logits(3, 500)
    clean_sequences = [sequence(i, seed=i, **params) for i in range(3)]
    clean = sampler_of(*clean_sequences, vocab_size=500).sample(logits.clone(), clean_sequences)
    logits[1, 77] = damage
    sequences = [sequence(i, seed=i, **params) for i in range(3)]
    output = sampler_of(*sequences, vocab_size=500).sample(logits, sequences)
    assert list(output.failures) == [1]
    assert "not finite numbers" in output.failures[1]
    assert [output.token_ids[r] for r in (0, 2)] == [clean.token_ids[r] for r in (0, 2)]
    assert [output.logprobs[r] for r in (0, 2)] == [clean.logprobs[r] for r in (0, 2)]
    assert output.logprobs[1] is None


def test_a_row_with_nothing_allowed_fails_alone() -> None:
    sequences = [sequence(0), sequence(1, allowed_token_ids=[EOS], min_tokens=1)]
    output = sampler_of(*sequences, vocab_size=50).sample(random_logits(2, 50), sequences)
    assert list(output.failures) == [1]
    assert "exclude the whole vocabulary" in output.failures[1]


def test_no_rows_are_no_tokens() -> None:
    output = Sampler(300, 0).sample(torch.empty(0, 300), [])
    assert (output.token_ids, output.logprobs, output.failures) == ([], [], {})


def test_the_plan_follows_the_batch() -> None:
    """Sequences that join, leave and change rows keep their own parameters."""
    greedy, biased = sequence(0, temperature=0), sequence(1, temperature=0, logit_bias={9: 50.0})
    sampler = sampler_of(greedy, biased, vocab_size=20)
    row = row_with(t5=3.0)
    two = torch.cat([row, row])
    assert step(sampler, [greedy, biased], two) == [5, 9]
    assert step(sampler, [biased, greedy], two) == [9, 5]
    sampler.remove(biased.seq_id)
    assert step(sampler, [greedy], row) == [5]
