"""What the policies, admission and the batcher are for, shown on simulated servers. The clock is a number, so this is
exact and the same everywhere."""

from dataclasses import replace

import pytest

from quire.bench.serving.simulation import (
    BatchServer,
    Request,
    SimulatedServer,
    Speed,
    capacity_per_s,
    mixed_requests,
    poisson_arrivals,
)
from quire.scheduling.admission import AdmissionController, AdmissionLimits
from quire.scheduling.priority import RESERVED_SHARE, make_policy

SPEED = Speed()
PEAK_PER_S = capacity_per_s(SPEED)


def serve(policy, requests):
    server = SimulatedServer(make_policy(policy), SPEED)
    return server, server.serve(requests)


def share_in_time(served):
    return sum(one.is_in_time for one in served) / len(served)


def urgent(served):
    return [one for one in served if one.request.is_urgent]


def test_steps_cost_what_they_should():
    speed = Speed(base_s=1.0, token_s=0.25, max_num_seqs=2, max_num_batched_tokens=8)
    server = SimulatedServer(make_policy("fcfs"), speed)
    first, second, third = server.serve([Request(0.0, 10, 2, None), Request(0.0, 4, 1, None), Request(0.0, 1, 1, None)])
    # 8 tokens of the first; then its last 2 and all 4 of the second; then a decode and the third.
    assert first.first_token_s == second.finished_s == 3.0 + 2.5
    assert third.started_s == 5.5
    assert first.finished_s == third.finished_s == 5.5 + 1.5


def test_at_overload_slo_keeps_the_urgent_deadlines_that_fcfs_misses():
    for seed in range(3):
        requests = mixed_requests(1_500, 1.2 * PEAK_PER_S, speed=SPEED, seed=seed)
        (slo_server, slo), (fcfs_server, fcfs) = serve("slo", requests), serve("fcfs", requests)
        assert share_in_time(urgent(slo)) >= 0.95
        assert share_in_time(urgent(fcfs)) < 0.5
        goodput = [share_in_time(served) / server.now_s for served, server in ((slo, slo_server), (fcfs, fcfs_server))]
        assert goodput[0] >= goodput[1]


def test_with_too_little_memory_sequences_are_preempted_and_urgent_deadlines_still_kept():
    tight = replace(SPEED, num_blocks=200)
    requests = mixed_requests(1_000, 1.2 * capacity_per_s(tight), speed=tight)
    served = SimulatedServer(make_policy("slo"), tight).serve(requests)
    assert sum(one.seq.num_preemptions for one in served) > 5
    assert all(one.finished_s is not None for one in served)
    assert share_in_time(urgent(served)) >= 0.95


def test_below_capacity_every_deadline_is_met():
    _, served = serve("slo", mixed_requests(1_500, 0.9 * PEAK_PER_S, speed=SPEED))
    assert share_in_time(served) == 1.0


def test_nobody_starves_behind_deadlines_that_can_be_met():
    """A request without a deadline, in an overload of requests that all can wait only a little: its turn comes."""
    flood = [replace(one, slo_ms=one.slo_ms / 2) for one in mixed_requests(1_500, 1.5 * PEAK_PER_S, speed=SPEED)]
    patient = Request(5.0, 200, 50, None)
    requests = sorted([*flood, patient], key=lambda request: request.arrival_s)
    _, served = serve("slo", requests)
    one = served[requests.index(patient)]
    own_share_s = (patient.num_prompt_tokens + patient.num_output_tokens) * SPEED.token_s * 3 / RESERVED_SHARE
    others_before_s = sum(
        (other.num_prompt_tokens + other.num_output_tokens) * SPEED.token_s * 3 / RESERVED_SHARE
        for other in flood
        if other.arrival_s < patient.arrival_s
    )
    assert one.started_s - patient.arrival_s < own_share_s + others_before_s
    assert one.finished_s < 0.5 * flood[-1].arrival_s


def test_late_ones_are_served_all_through_an_overload_and_in_time_ones_still_get_the_rest():
    requests = mixed_requests(4_000, 1.5 * PEAK_PER_S, speed=SPEED)
    _, served = serve("slo", requests)
    end_s = requests[-1].arrival_s
    for begin_s in range(60, int(end_s) - 20, 20):
        starts = [one for one in served if begin_s <= one.started_s < begin_s + 20]
        late = [one for one in starts if not one.is_in_time]
        assert 0.02 < len(late) / len(starts) < 0.35


def test_admission_keeps_goodput_at_ten_times_the_capacity():
    requests = mixed_requests(round(10 * PEAK_PER_S * 30), 10 * PEAK_PER_S, speed=SPEED)
    server = SimulatedServer(make_policy("slo"), SPEED)
    limits = AdmissionLimits(max_queued_requests=64)
    server.admission = AdmissionController(limits, clock=lambda: server.now_s)
    served = server.serve(requests)
    assert sum(one.is_in_time for one in served) / server.now_s >= 0.8 * PEAK_PER_S
    assert server.max_queued <= 64
    waits_s = [one.first_token_s - one.request.arrival_s for one in served if one.first_token_s is not None]
    assert max(waits_s) < 64 / PEAK_PER_S / RESERVED_SHARE
    server.admission.check_invariants()
    assert server.admission.num_queued_tokens == 0


def test_a_batch_server_by_hand():
    server = BatchServer(100.0, max_batch=2, base_s=1.0, item_s=0.5)
    # Alone until 0.1 s; two while that ran, full at once; the last waits for company that never comes.
    assert server.serve([0.0, 0.5, 1.0, 9.0]) == pytest.approx([0.1, 1.1, 0.6, 0.0])
    assert server.num_batches == 3


@pytest.mark.parametrize("seed", range(3))
def test_waiting_50_ms_keeps_the_throughput_of_full_batches_and_adds_less_than_100_ms(seed):
    rates, waits_s = {}, {}
    for max_wait_ms in (50.0, float("inf")):
        server = BatchServer(max_wait_ms)
        waits_s[max_wait_ms] = server.serve(poisson_arrivals(4_000, 0.8 * server.capacity_per_s, seed=seed))
        rates[max_wait_ms] = 4_000 / server.now_s
    assert rates[50.0] >= 0.95 * rates[float("inf")]
    assert sorted(waits_s[50.0])[int(0.95 * 4_000)] < 0.100
