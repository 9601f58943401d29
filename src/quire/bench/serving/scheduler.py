"""Who goes next, who may come in and what runs together, each on a simulated server (`quire.bench.simulation`).

Case deadlines: mixed deadlines, a tenth of them urgent, at `load` times what the server can do, under each policy.
Case admission: `load` times capacity for a minute, with admission at the door and without.
Case batching:  Poisson arrivals at `load` times capacity, gathered for at most so long, or until the batch is full.
Times are the simulation's, so they are the same on every machine; repetitions differ in their seeds.
"""

import math
from collections.abc import Callable
from itertools import count
from pathlib import Path

from quire.bench.harness import Case, Measurement
from quire.bench.plots import save_curves
from quire.bench.results import Report
from quire.bench.serving.simulation import (
    BatchServer,
    Served,
    SimulatedServer,
    Speed,
    capacity_per_s,
    mixed_requests,
    poisson_arrivals,
)
from quire.scheduling.admission import AdmissionController, AdmissionLimits
from quire.scheduling.priority import make_policy

POLICIES = ("slo", "shortest", "fcfs")

WAITS_MS = (0.0, 5.0, 10.0, 20.0, 50.0, 100.0, math.inf)
"""Infinity is the batch that is always full."""


def cases(
    *,
    num_requests: int = 3_000,
    overload: float = 1.2,
    flood: float = 10.0,
    flood_s: float = 60.0,
    batching_load: float = 0.8,
    quick: bool = False,
) -> list[Case]:
    speed = Speed()
    peak_per_s = capacity_per_s(speed)
    if quick:
        num_requests, flood_s = 300, 5.0
    deadlines = {policy: _deadlines(policy, speed, num_requests, overload * peak_per_s) for policy in POLICIES}
    admission = {
        "quire": _admission(speed, peak_per_s, flood, flood_s, is_limited=True),
        "no admission": _admission(speed, peak_per_s, flood, flood_s, is_limited=False),
    }
    batching = {wait_ms: _batching(wait_ms, num_requests, batching_load) for wait_ms in WAITS_MS}
    return [
        *(
            Case("deadlines", run, {"load": overload, "requests": num_requests}, "quire" if policy == "slo" else policy)
            for policy, run in deadlines.items()
        ),
        *(Case("admission", run, {"load": flood, "seconds": flood_s}, side) for side, run in admission.items()),
        *(
            Case("batching", run, {"load": batching_load, "requests": num_requests}, f"wait {wait_ms:g} ms")
            for wait_ms, run in batching.items()
        ),
    ]


def plot(report: Report, path: Path) -> None:
    """What waiting for company brings and costs, each as a share of what always-full batches have."""
    batching = [result for result in report.results if result.name == "batching"]
    waits = [result.side.removeprefix("wait ") for result in batching]
    measured = {
        "throughput": [result.summary("items_per_s").median for result in batching],
        "batch size": [result.summary("batch_items").median for result in batching],
        "added latency, p95": [result.percentiles("added_ms")["p95"] for result in batching],
    }
    curves = {
        name: [(wait, value / values[-1]) for wait, value in zip(waits, values, strict=True)]
        for name, values in measured.items()
    }
    save_curves(path, curves, x="max_wait_ms", y="share of always-full batches")


def _deadlines(policy: str, speed: Speed, num_requests: int, rate_per_s: float) -> Callable[[], Measurement]:
    seeds = count()

    def run() -> Measurement:
        server = SimulatedServer(make_policy(policy), speed)
        served = server.serve(mixed_requests(num_requests, rate_per_s, speed=speed, seed=next(seeds)))
        urgent = [one for one in served if one.request.is_urgent]
        values = {
            "urgent_in_time_share": _share_in_time(urgent),
            "in_time_share": _share_in_time(served),
            "goodput_per_s": sum(one.is_in_time for one in served) / server.now_s,
            "longest_wait_s": max(one.started_s - one.request.arrival_s for one in served if one.started_s is not None),
        }
        return Measurement(values)

    return run


def _admission(
    speed: Speed, peak_per_s: float, flood: float, flood_s: float, *, is_limited: bool
) -> Callable[[], Measurement]:
    seeds = count()

    def run() -> Measurement:
        server = SimulatedServer(make_policy("slo"), speed)
        if is_limited:
            limits = AdmissionLimits(max_queued_requests=speed.max_num_seqs)
            server.admission = AdmissionController(limits, is_by_deadline=True, clock=lambda: server.now_s)
        num_requests = round(flood * peak_per_s * flood_s)
        served = server.serve(mixed_requests(num_requests, flood * peak_per_s, speed=speed, seed=next(seeds)))
        admitted = [one for one in served if one.first_token_s is not None]
        values = {
            "goodput_of_peak_share": sum(one.is_in_time for one in served) / server.now_s / peak_per_s,
            "admitted_in_time_share": _share_in_time(admitted),
            "longest_queue": server.max_queued,
        }
        first_token_s = [one.first_token_s - one.request.arrival_s for one in admitted if one.first_token_s is not None]
        return Measurement(values, {"first_token_s": first_token_s})

    return run


def _batching(max_wait_ms: float, num_requests: int, load: float) -> Callable[[], Measurement]:
    seeds = count()

    def run() -> Measurement:
        server = BatchServer(max_wait_ms)
        arrivals = poisson_arrivals(num_requests, load * server.capacity_per_s, seed=next(seeds))
        waits_s = server.serve(arrivals)
        values = {
            "items_per_s": num_requests / server.now_s,
            "batch_items": num_requests / server.num_batches,
            "busy_share": server.busy_s / server.now_s,
        }
        return Measurement(values, {"added_ms": [wait_s * 1e3 for wait_s in waits_s]})

    return run


def _share_in_time(served: list[Served]) -> float:
    return sum(one.is_in_time for one in served) / max(len(served), 1)
