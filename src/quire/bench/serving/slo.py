"""Deadlines on the real engine: more requests than it can serve, a tenth of them urgent, under slo and under fcfs.

Case overload: the tiny model that Quire carries. Its capacity is measured first (requests that all wait at once), by
               the policy whose turn comes first in a repetition; then Poisson arrivals come at `load` times that for
               `seconds`, the same for both policies, and are served to the end. An urgent request allows three times,
               any other ten times, what it takes on a full engine.

    urgent_in_time_share   of the urgent requests, those answered within their time
    in_time_share          of all requests
    goodput_per_s          answers in time a second
    capacity_per_s         what was measured before
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate, count
from random import Random

from quire.bench.harness import Case, Measurement
from quire.bench.serving.simulation import Request
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.engine.engine import LLMEngine
from quire.engine.outputs import OutputKind
from quire.models.embedded import EMBEDDED_MODEL
from quire.sampling_params import SamplingParams

POLICIES = ("slo", "fcfs")
MAX_NUM_SEQS = 8
PROMPT_TOKENS = (16, 64)
OUTPUT_TOKENS = (8, 24)
WORDS = range(256, 4096)
"""Token ids of the embedded model behind its special ones."""
URGENT_SHARE = 0.1
URGENT_TIMES = 3.0
RELAXED_TIMES = 10.0


def cases(*, load: float = 1.2, seconds: float = 12.0, quick: bool = False) -> list[Case]:
    seconds = min(seconds, 1.5) if quick else seconds
    params = {"load": load, "seconds": seconds}
    found = []
    capacities: dict[int, float] = {}
    for policy in POLICIES:
        server = _Server(policy)
        side = "quire" if policy == "slo" else policy
        found.append(Case("overload", _overload(server, capacities, load, seconds), params, side, close=server.close))
    return found


def _overload(
    server: "_Server", capacities: dict[int, float], load: float, seconds: float
) -> Callable[[], Measurement]:
    """`capacities` by repetition, for both sides: they must be given the same load to be compared."""
    seeds = count()

    def run() -> Measurement:
        seed = next(seeds)
        if seed not in capacities:
            capacities[seed] = _capacity_per_s(server, seconds, seed)
        capacity_per_s = capacities[seed]
        rate_per_s = load * capacity_per_s
        requests = poisson_requests(round(rate_per_s * seconds), rate_per_s, MAX_NUM_SEQS / capacity_per_s, seed=seed)
        elapsed_s, is_in_time = server.serve(requests)
        urgent = [met for request, met in zip(requests, is_in_time, strict=True) if request.is_urgent]
        return Measurement(
            {
                "urgent_in_time_share": sum(urgent) / max(len(urgent), 1),
                "in_time_share": sum(is_in_time) / len(requests),
                "goodput_per_s": sum(is_in_time) / elapsed_s,
                "capacity_per_s": capacity_per_s,
            }
        )

    return run


def _capacity_per_s(server: "_Server", seconds: float, seed: int) -> float:
    """Requests a second while there is always another one waiting, over about a quarter of the time; a few
    requests give the first guess of how many that takes."""
    num_requests, rate_per_s = 4 * MAX_NUM_SEQS, 0.0
    for _ in range(2):
        requests = [replace(r, arrival_s=0.0, slo_ms=None) for r in poisson_requests(num_requests, 1.0, 0.0, seed=seed)]
        elapsed_s, _ = server.serve(requests)
        rate_per_s = num_requests / elapsed_s
        num_requests = max(4 * MAX_NUM_SEQS, round(rate_per_s * seconds / 4))
    return rate_per_s


def poisson_requests(num_requests: int, rate_per_s: float, mean_s: float, *, seed: int) -> list[Request]:
    """`mean_s` is how long a request of mean size takes on a full engine."""
    rng = Random(seed)
    mean_output_tokens = sum(OUTPUT_TOKENS) / 2
    requests = []
    for arrival_s in accumulate(rng.expovariate(rate_per_s) for _ in range(num_requests)):
        num_prompt_tokens, num_output_tokens = rng.randint(*PROMPT_TOKENS), rng.randint(*OUTPUT_TOKENS)
        is_urgent = rng.random() < URGENT_SHARE
        times = URGENT_TIMES if is_urgent else RELAXED_TIMES
        slo_ms = times * mean_s * 1e3 * num_output_tokens / mean_output_tokens
        requests.append(Request(arrival_s, num_prompt_tokens, num_output_tokens, slo_ms, is_urgent))
    return requests


class _Server:
    """An engine that is fed in real time. Made at the first request, so that listing the cases loads nothing."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._engine: LLMEngine | None = None
        self._rng = Random(0)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def serve(self, requests: list[Request]) -> tuple[float, list[bool]]:
        """Seconds until all were answered, and for each whether it was in time, counted from when it was due."""
        engine = self._loaded()
        begin_s = time.monotonic()
        coming = deque(enumerate(requests))
        is_in_time = [False] * len(requests)
        while coming or engine.has_unfinished:
            now_s = time.monotonic() - begin_s
            if not engine.has_unfinished and coming[0][1].arrival_s > now_s:
                time.sleep(coming[0][1].arrival_s - now_s)
                continue
            while coming and coming[0][1].arrival_s <= now_s:
                self._add(engine, *coming.popleft())
            done = [int(output.request_id) for output in engine.step()]
            now_s = time.monotonic() - begin_s
            for number in done:
                is_in_time[number] = now_s <= requests[number].deadline_s
        return time.monotonic() - begin_s, is_in_time

    def _loaded(self) -> LLMEngine:
        if self._engine is None:
            config = EngineConfig(
                scheduling_policy=self._policy,
                max_num_seqs=MAX_NUM_SEQS,
                max_num_batched_tokens=128,
                max_model_len=PROMPT_TOKENS[1] + OUTPUT_TOKENS[1],
                enable_prefix_caching=False,
                num_threads=1,  # a second one gains such a small model nothing, and makes it wait for its neighbours
            )
            self._engine = assemble(EMBEDDED_MODEL, config)
        return self._engine

    def _add(self, engine: LLMEngine, number: int, request: Request) -> None:
        params = SamplingParams(
            temperature=0, max_tokens=request.num_output_tokens, ignore_eos=True, slo_ms=request.slo_ms
        )
        prompt = self._rng.choices(WORDS, k=request.num_prompt_tokens)
        engine.add_request(str(number), {"prompt_token_ids": prompt}, params, output_kind=OutputKind.FINAL)
