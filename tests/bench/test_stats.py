"""Expected values are published tables or sums a reader can do by hand."""

import math

import pytest

from quire.bench.stats import Summary, percentiles, t_quantile

# Two-sided 95 % and 99 % points, as printed in any table of Student's t.
PUBLISHED_95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 30: 2.042, 120: 1.980}
PUBLISHED_99 = {1: 63.657, 2: 9.925, 4: 4.604, 9: 3.250, 30: 2.750}


@pytest.mark.parametrize(("degrees", "expected"), PUBLISHED_95.items())
def test_t_quantile_95(degrees: int, expected: float) -> None:
    assert t_quantile(0.95, degrees) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("degrees", "expected"), PUBLISHED_99.items())
def test_t_quantile_99(degrees: int, expected: float) -> None:
    assert t_quantile(0.99, degrees) == pytest.approx(expected, abs=6e-4)


def test_t_quantile_refuses_what_has_no_answer() -> None:
    with pytest.raises(ValueError, match="degrees is 0"):
        t_quantile(0.95, 0)
    with pytest.raises(ValueError, match=r"confidence 1\.0"):
        t_quantile(1.0, 4)


def test_summary_of_five_by_hand() -> None:
    # Deviations from 6 are -4 -2 0 2 4, squares sum to 40, 40 / 4 = 10.
    summary = Summary((2.0, 10.0, 4.0, 8.0, 6.0))
    assert summary.mean == 6
    assert summary.median == 6
    assert summary.sd == pytest.approx(math.sqrt(10))
    # 2.776 * sqrt(10 / 5) = 3.926
    assert summary.ci95 == pytest.approx((2.074, 9.926), abs=1e-3)
    assert summary.cv == pytest.approx(math.sqrt(10) / 6)
    assert summary.is_flaky


def test_median_of_an_even_count_lies_between() -> None:
    assert Summary((1.0, 9.0, 3.0, 5.0)).median == 4


def test_flaky_begins_above_twenty_percent() -> None:
    # Two values 1 ± d have sd d * sqrt(2), so the coefficient of variation is d * sqrt(2).
    assert not Summary((1 - 0.14, 1 + 0.14)).is_flaky
    assert Summary((1 - 0.15, 1 + 0.15)).is_flaky


def test_one_value_has_no_spread_to_speak_of() -> None:
    summary = Summary((3.0,))
    assert (summary.mean, summary.median) == (3, 3)
    assert math.isnan(summary.sd)
    assert math.isnan(summary.ci95[0])
    assert not summary.is_flaky


def test_percentiles_of_one_to_hundred_and_one() -> None:
    assert percentiles([float(x) for x in range(101, 0, -1)]) == {"p50": 51, "p95": 96, "p99": 100}


def test_percentiles_interpolate() -> None:
    assert percentiles([0.0, 10.0], (50, 99)) == {"p50": 5, "p99": pytest.approx(9.9)}


def test_nothing_has_no_summary() -> None:
    with pytest.raises(ValueError, match="got none"):
        Summary(())
    with pytest.raises(ValueError, match="got none"):
        percentiles([])
