"""A curve must be the one that the points lie on, and an operation must be what it says."""

import math

import pytest

from quire.bench.harness import Param, Result
from quire.bench.results import Report
from quire.bench.structures import growth


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_a_power_law_is_found_again(exponent: float) -> None:
    sizes = [1_000, 8_000, 64_000]
    curve = growth.fit(sizes, [3.0 * size**exponent for size in sizes], "n")
    assert (curve.exponent, curve.factor) == pytest.approx((exponent, 3.0))
    assert curve.claimed_exponent == pytest.approx(1)


def test_a_logarithm_has_the_exponent_that_its_claim_has() -> None:
    sizes = [1_000, 8_000, 64_000, 512_000]
    curve = growth.fit(sizes, [5 * math.log(size) for size in sizes], "log n")
    assert curve.exponent == pytest.approx(curve.claimed_exponent)
    assert 0 < curve.exponent < 0.2


@pytest.mark.parametrize("operation", growth.OPERATIONS, ids=lambda op: f"{op.structure} {op.name}")
def test_an_operation_can_be_repeated(operation: growth.Operation) -> None:
    call = operation.make(64)
    for _ in range(3):
        call()


def test_the_curve_goes_through_the_medians() -> None:
    def result(n: int, *times_us: float) -> Result:
        params: dict[str, Param] = {"structure": "TokenBudget", "operation": "reserve and release", "n": n}
        return Result("growth", "quire", params, {"call_us": list(times_us)})

    report = Report("growth", [result(1_000, 1, 2, 99), result(8_000, 4, 4, 4)], environment={})
    ((operation, points, curve),) = growth.curves(report)
    assert (operation.structure, points) == ("TokenBudget", [(1_000, 2), (8_000, 4)])
    assert curve.exponent == pytest.approx(1 / 3)
    assert growth.explain(report) == (
        "TokenBudget, reserve and release: size^0.33 up to 8,000 owners; O(1) would be size^0.00"
    )
