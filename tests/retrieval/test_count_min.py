"""CountMinSketch against exact counts (collections.Counter) and against what the theory promises."""

import math
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.errors import ConfigError, InvalidRequestError
from quire.retrieval.count_min import CountMinSketch

KEYS = st.one_of(st.text(max_size=40), st.binary(max_size=40), st.integers(-(2**63), 2**63 - 1))


def zipf(num_draws: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).zipf(1.2, num_draws).clip(max=50_000)


@settings(deadline=None)
@given(st.lists(KEYS, max_size=300), st.sampled_from([8, 16, 32]), st.booleans())
def test_an_estimate_is_never_too_low_and_exact_while_the_sketch_is_roomy(keys, counter_bits, conservative) -> None:
    tight = CountMinSketch(7, 2, counter_bits=counter_bits, conservative=conservative)
    roomy = CountMinSketch(1 << 20, 4, counter_bits=counter_bits, conservative=conservative)
    for key in keys:
        tight.add(key)
    roomy.add_batch(keys)
    exact = Counter((type(key), key) for key in keys)
    for (_, key), count in exact.items():
        assert tight.estimate(key) >= count
        assert roomy.estimate(key) == count
    assert tight.total == len(keys)


def test_the_error_stays_within_epsilon_and_delta_on_a_zipf_stream() -> None:
    stream, delta = zipf(200_000), 0.01
    keys, counts = np.unique(stream, return_counts=True)
    sketch = CountMinSketch(epsilon=1e-3, delta=delta, conservative=False)
    sketch.add_batch(stream)
    assert sketch.error_bound() == pytest.approx(math.e / math.ceil(math.e / 1e-3) * len(stream))
    too_high = sketch.estimate_batch(keys) - counts > sketch.error_bound()
    assert too_high.mean() <= delta


def test_conservative_update_errs_less_on_every_key() -> None:
    stream = zipf(100_000)
    keys, counts = np.unique(stream, return_counts=True)
    plain, conservative = (CountMinSketch(500, 4, conservative=is_on) for is_on in (False, True))
    for sketch in (plain, conservative):
        sketch.add_batch(stream)
    assert (conservative.estimate_batch(keys) >= counts).all()
    assert (conservative.estimate_batch(keys) <= plain.estimate_batch(keys)).all()
    assert (conservative.estimate_batch(keys) - counts).sum() < 0.7 * (plain.estimate_batch(keys) - counts).sum()


def test_batches_count_as_single_adds_do() -> None:
    words = [f"word {i}" for i in zipf(5_000)]
    one_by_one, batched, counted = (CountMinSketch(200, 3, conservative=False) for _ in range(3))
    for word in words:
        one_by_one.add(word)
    batched.add_batch(words)
    exact = Counter(words)
    counted.add_batch(exact.keys(), list(exact.values()))
    expected = [one_by_one.estimate(word) for word in exact]
    assert batched.estimate_batch(list(exact)).tolist() == expected
    assert counted.estimate_batch(list(exact)).tolist() == expected


def test_text_bytes_and_integers_are_different_keys() -> None:
    sketch = CountMinSketch(1 << 16, 4, num_hitters=3)
    sketch.add("7", 3)
    sketch.add(b"7", 2)
    sketch.add(7)
    assert [sketch.estimate(key) for key in ("7", b"7", 7, "8")] == [3, 2, 1, 0]
    assert sketch.heavy_hitters() == [("7", 3), (b"7", 2), (7, 1)]


def test_an_array_of_integers_is_the_list_of_them() -> None:
    sketch = CountMinSketch(1 << 16, 4)
    sketch.add_batch(np.array([5, 5, -1], dtype=np.int32))
    assert sketch.estimate_batch([5, -1, 6]).tolist() == [2, 1, 0]


@pytest.mark.parametrize("counter_bits", [8, 16, 32])
def test_narrow_cells_lose_nothing(counter_bits: int) -> None:
    full = 2**counter_bits - 1
    sketch = CountMinSketch(64, 2, counter_bits=counter_bits)
    for step in (full - 1, 1, 1, 2**40):
        sketch.add("key", step)
    assert sketch.estimate("key") == full + 1 + 2**40
    sketch.decay(2**-40)
    assert sketch.estimate("key") == (full + 1 + 2**40) // 2**40


def test_narrow_cells_take_less_memory() -> None:
    sizes = [CountMinSketch(1000, 4, counter_bits=bits).num_bytes for bits in (8, 16, 32)]
    assert sizes == [4000, 8000, 16000]


def test_merging_plain_sketches_equals_the_joined_stream() -> None:
    left, right = zipf(5_000, seed=1), zipf(5_000, seed=2)
    parts = [CountMinSketch(300, 4, conservative=False, num_hitters=5, counter_bits=bits) for bits in (8, 32)]
    for part, stream in zip(parts, (left, right), strict=True):
        part.add_batch(stream)
    whole = CountMinSketch(300, 4, conservative=False, num_hitters=5)
    whole.add_batch(np.concatenate([left, right]))
    merged = parts[0].merge(parts[1])
    keys = np.unique(np.concatenate([left, right]))
    assert (merged.estimate_batch(keys) == whole.estimate_batch(keys)).all()
    assert merged.heavy_hitters() == whole.heavy_hitters()
    assert merged.total == whole.total == 10_000


def test_merging_a_sketch_with_itself_doubles_it() -> None:
    sketch = CountMinSketch(100, 3)
    sketch.add("a", 4)
    assert sketch.merge(sketch).estimate("a") == 8


def test_merged_conservative_sketches_stay_upper_bounds() -> None:
    left, right = zipf(5_000, seed=1), zipf(5_000, seed=2)
    sketches = [CountMinSketch(100, 3) for _ in range(2)]
    for sketch, stream in zip(sketches, (left, right), strict=True):
        sketch.add_batch(stream)
    keys, counts = np.unique(np.concatenate([left, right]), return_counts=True)
    assert (sketches[0].merge(sketches[1]).estimate_batch(keys) >= counts).all()


def test_sketches_made_differently_are_not_merged() -> None:
    for other in (CountMinSketch(101, 3), CountMinSketch(100, 4), CountMinSketch(100, 3, seed=1)):
        with pytest.raises(InvalidRequestError, match="width, depth or seed"):
            CountMinSketch(100, 3).merge(other)


def test_heavy_hitters_are_the_most_frequent_keys() -> None:
    stream = [f"query {i}" for i in zipf(50_000)]
    sketch = CountMinSketch(epsilon=1e-4, delta=1e-3, num_hitters=20)
    for begin in range(0, len(stream), 1000):
        sketch.add_batch(stream[begin : begin + 1000])
    assert sketch.heavy_hitters(10) == Counter(stream).most_common(10)
    assert len(sketch.heavy_hitters()) == 20


def test_decay_lets_what_is_hot_now_win() -> None:
    sketch = CountMinSketch(1 << 12, 4, num_hitters=2)
    sketch.add("yesterday", 1000)
    sketch.add("passing", 1)
    for _ in range(5):
        sketch.decay(0.5)
        sketch.add("today", 40)
    assert sketch.heavy_hitters() == [("today", 77), ("yesterday", 31)]  # 40 + 20 + 10 + 5 + 2 and 1000 / 32
    assert sketch.total == pytest.approx(1001 / 32 + 40 * (2 - 2**-4))
    sketch.decay(0)
    assert sketch.heavy_hitters() == []


def test_decayed_estimates_are_low_by_less_than_the_stated_bound() -> None:
    sketch, factor, truth = CountMinSketch(1 << 12, 4), 0.9, 0.0
    for step in range(100):
        sketch.add("key", step % 7)
        sketch.decay(factor)
        truth = (truth + step % 7) * factor
        assert truth - 1 / (1 - factor) < sketch.estimate("key") <= truth + 1e-9


def test_clear_forgets_everything() -> None:
    sketch = CountMinSketch(100, 3, num_hitters=5)
    sketch.add("a", 4)
    sketch.clear()
    assert (sketch.estimate("a"), sketch.total, sketch.heavy_hitters()) == (0, 0, [])


def test_sizes_follow_from_epsilon_and_delta() -> None:
    sketch = CountMinSketch(epsilon=0.01, delta=0.05)
    assert (sketch.width, sketch.depth) == (272, 3)
    assert (CountMinSketch().width, CountMinSketch().depth) == (2719, 5)


def test_threads_lose_no_count() -> None:
    sketch, words = CountMinSketch(1 << 12, 4), ["a", "b"] * 5_000
    threads = [threading.Thread(target=sketch.add_batch, args=(words,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sketch.estimate_batch(["a", "b"]).tolist() == [20_000, 20_000]


def test_an_empty_batch_changes_nothing() -> None:
    sketch = CountMinSketch(10, 2)
    sketch.add_batch([])
    assert sketch.total == 0
    assert sketch.estimate_batch([]).tolist() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0, "depth": 1}, "width is 0"),
        ({"width": 10, "depth": 33}, "depth is 33"),
        ({"width": 10, "epsilon": 0.1}, "give one of the two"),
        ({"epsilon": 1.5}, "epsilon is 1.5"),
        ({"delta": math.nan}, "delta is nan"),
        ({"counter_bits": 64}, "counter_bits is 64"),
        ({"num_hitters": -1}, "num_hitters is -1"),
    ],
)
def test_wrong_sizes_are_named(arguments, message) -> None:
    with pytest.raises(ConfigError, match=message):
        CountMinSketch(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.add(1.5), "of type float"),
        (lambda s: s.add(2**70), "does not fit into 64 bits"),
        (lambda s: s.add("a", -1), "count is -1"),
        (lambda s: s.add_batch(["a", None]), "of type NoneType"),
        (lambda s: s.add_batch("abc"), "the single key 'abc'"),
        (lambda s: s.add_batch(["a"], [1, 2]), "1 keys and 2 counts"),
        (lambda s: s.add_batch(["a"], [-1]), "counts is"),
        (lambda s: s.add_batch(np.array([0.5])), "array of float64"),
        (lambda s: s.decay(1.1), "factor is 1.1"),
        (lambda s: s.heavy_hitters(-1), "k is -1"),
    ],
)
def test_wrong_input_is_named(call, message) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        call(CountMinSketch(10, 2))


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        CountMinSketch(10, 2).add("\ud800")
