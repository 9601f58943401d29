import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.scheduling.meters import NUM_SLICES, DrainRate, FadingRatio, Meter

WINDOW_S = 8.0  # slices of 0.25 s: every time below is exact in binary
ARRIVALS = st.lists(st.tuples(st.integers(0, 40).map(lambda k: k / 16), st.integers(1, 6)), max_size=80)


def between(log, begin_s, end_s):
    return sum(amount for time_s, amount in log if begin_s < time_s <= end_s)


@given(ARRIVALS, st.sampled_from([0.5, 1.0, 3.0]))
def test_a_meter_is_a_sliding_window_to_within_one_slice(arrivals, rate):
    meter, log, now_s = Meter(rate, WINDOW_S), [], 0.0
    for pause_s, amount in arrivals:
        now_s += pause_s
        fits = meter.wait_s(amount, now_s) == 0
        if between(log, now_s - WINDOW_S, now_s) + amount > meter.budget:
            assert not fits
        if between(log, now_s - WINDOW_S - WINDOW_S / NUM_SLICES, now_s) + amount <= meter.budget:
            assert fits
        if fits:
            meter.add(amount, now_s)
            log.append((now_s, amount))
        meter.check_invariants()


@given(ARRIVALS)
def test_a_wait_is_as_long_as_it_must_be_and_no_longer(arrivals):
    meter, now_s = Meter(1.0, WINDOW_S), 0.0
    for pause_s, amount in arrivals:
        now_s += pause_s
        wait_s = meter.wait_s(amount, now_s)
        if wait_s:
            assert meter.wait_s(amount, now_s + wait_s - 2**-20) > 0
            now_s += wait_s
            assert meter.wait_s(amount, now_s) == 0
        meter.add(amount, now_s)


def test_what_is_above_the_budget_never_fits():
    meter = Meter(1.0, WINDOW_S)
    assert meter.wait_s(8, 0.0) == 0
    assert meter.wait_s(9, 0.0) is None


def test_a_ratio_fades():
    ratio = FadingRatio(0.5)
    assert ratio.value == 0
    ratio.add(4.0, 2)
    assert ratio.value == 2.0
    ratio.add(1.0, 1)
    assert ratio.value == (2.0 + 1.0) / (1 + 1)
    ratio.add(0.0, 0)
    assert ratio.value == 1.5


def test_a_drain_rate_counts_only_time_with_a_queue():
    drain = DrainRate(1e9)
    assert drain.tokens_per_s is None
    for begin_s in (0.0, 100.0, 200.0):
        drain.advance(begin_s, is_busy=False)
        drain.advance(begin_s + 2.0, is_busy=True)
        drain.add(10)
    assert drain.tokens_per_s == pytest.approx(30 / 6)


def test_a_drain_rate_forgets():
    drain = DrainRate(1.0)
    drain.advance(1.0, is_busy=True)
    drain.add(1_000)
    for second in range(2, 40):
        drain.advance(float(second), is_busy=True)
        drain.add(5)
    fade = math.exp(-1.0)
    assert drain.tokens_per_s == pytest.approx(5 / (1 - fade) * (1 - fade))
