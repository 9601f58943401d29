"""Who is urgent and what that means, by hand; and that the real engine is asked and answers."""

import pytest

from quire.bench.serving import slo


def test_a_deadline_is_so_many_times_what_a_request_of_its_size_takes() -> None:
    requests = slo.poisson_requests(4000, rate_per_s=50.0, mean_s=0.2, seed=0)
    for request in requests:
        takes_ms = 200 * request.num_output_tokens / 16  # 16 tokens on average
        assert request.slo_ms == pytest.approx((3 if request.is_urgent else 10) * takes_ms)
    assert sum(request.is_urgent for request in requests) / 4000 == pytest.approx(0.1, abs=0.02)
    assert requests[-1].arrival_s == pytest.approx(80, rel=0.05)


def test_every_request_is_answered_under_each_policy() -> None:
    for case in slo.cases(seconds=0.3, quick=True):
        values = case.run().values
        assert 0 <= values["urgent_in_time_share"] <= 1
        assert 0 < values["in_time_share"] <= 1
        assert values["goodput_per_s"] > 0
        assert case.close is not None
        case.close()
