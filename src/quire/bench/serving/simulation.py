"""Servers without a model, on a clock that is only a number: what scheduling decisions cost, the same on any machine.

    SimulatedServer  generates: the engine's own scheduler over blocks that hold nothing; a step takes
                     `base_s + token_s x tokens`.
    BatchServer      answers single items (embeddings, searches) in batches; a batch takes `base_s + item_s x items`.

Knows scheduler, policies, admission and batcher as they are, and models nothing of them; nothing here is measured.
Invariant: the same requests give the same times.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate, count
from random import Random

from quire.cache.block_manager import BlockManager
from quire.sampling_params import SamplingParams
from quire.scheduling.admission import AdmissionController, Admitted
from quire.scheduling.microbatch import MicroBatcher
from quire.scheduling.priority import Policy, make_policy
from quire.scheduling.scheduler import ScheduledBatch, Scheduler
from quire.sequence import FinishReason, Sequence

BLOCK_SIZE = 16


@dataclass(frozen=True, slots=True)
class Speed:
    """What a step costs, and what fits into one."""

    base_s: float = 0.010
    token_s: float = 0.0002
    max_num_seqs: int = 32
    max_num_batched_tokens: int = 256
    num_blocks: int = 2_048

    def step_s(self, num_tokens: int) -> float:
        return self.base_s + self.token_s * num_tokens


@dataclass(frozen=True, slots=True)
class Request:
    arrival_s: float
    num_prompt_tokens: int
    num_output_tokens: int
    slo_ms: float | None
    is_urgent: bool = False

    @property
    def deadline_s(self) -> float:
        return float("inf") if self.slo_ms is None else self.arrival_s + self.slo_ms / 1e3


@dataclass(slots=True)
class Served:
    """What became of a request; None for what did not happen."""

    request: Request
    seq: Sequence
    ticket: Admitted | None = None
    finished_s: float | None = None

    @property
    def started_s(self) -> float | None:
        return self.seq.first_scheduled_s

    @property
    def first_token_s(self) -> float | None:
        return self.seq.first_token_s

    @property
    def is_in_time(self) -> bool:
        return self.finished_s is not None and self.finished_s <= self.request.deadline_s


class SimulatedServer:
    def __init__(self, policy: Policy, speed: Speed = Speed(), admission: AdmissionController | None = None) -> None:
        self.now_s = 0.0
        self.max_queued = 0
        """The longest that the queue has been."""
        self.admission = admission
        self._policy = policy
        self._speed = speed
        self._scheduler = Scheduler(
            BlockManager(speed.num_blocks, BLOCK_SIZE, enable_prefix_caching=False),
            policy,
            max_num_seqs=speed.max_num_seqs,
            max_num_batched_tokens=speed.max_num_batched_tokens,
            next_seq_id=count().__next__,
        )
        self._unfinished: dict[int, Served] = {}

    def serve(self, requests: Iterable[Request]) -> list[Served]:
        """Runs until everything that was admitted is done. In the order of the requests, which is that of arrival."""
        served = [Served(request, _sequence_of(seq_id, request)) for seq_id, request in enumerate(requests)]
        coming = deque(served)
        while coming or self._unfinished:
            if not self._unfinished:
                self.now_s = max(self.now_s, coming[0].request.arrival_s)
            while coming and coming[0].request.arrival_s <= self.now_s:
                self._arrive(coming.popleft())
            if self._unfinished:
                self._step()
        return served

    def _arrive(self, served: Served) -> None:
        request = served.request
        if self.admission is not None:
            answer = self.admission.admit(
                "", request.num_prompt_tokens, request.num_output_tokens, slo_ms=request.slo_ms
            )
            if not isinstance(answer, Admitted):
                return
            served.ticket = answer
        self._unfinished[served.seq.seq_id] = served
        self._scheduler.add(served.seq, self.now_s)
        self.max_queued = max(self.max_queued, self._scheduler.num_waiting)

    def _step(self) -> None:
        batch = self._scheduler.schedule(self.now_s)
        self._tell_started(batch)
        step_s = self._speed.step_s(sum(batch.num_new_tokens))
        self.now_s += step_s
        self._scheduler.complete(batch)
        self._policy.observe(batch.num_prefill_tokens, batch.num_decodes, step_s)
        for seq in batch.samples:
            self._give_token(seq)

    def _tell_started(self, batch: ScheduledBatch) -> None:
        for seq in batch.sequences[batch.num_decodes :]:
            ticket = self._unfinished[seq.seq_id].ticket
            if self.admission is not None and ticket is not None:
                self.admission.started(ticket)

    def _give_token(self, seq: Sequence) -> None:
        seq.token_ids.append(0)
        if seq.first_token_s is None:
            seq.first_token_s = self.now_s
        if seq.num_output_tokens < seq.max_tokens:
            return
        self._scheduler.finish(seq, FinishReason.LENGTH)
        served = self._unfinished.pop(seq.seq_id)
        served.finished_s = self.now_s
        if self.admission is not None and served.ticket is not None:
            self.admission.finished(served.ticket)


def _sequence_of(seq_id: int, request: Request) -> Sequence:
    params = SamplingParams(max_tokens=request.num_output_tokens, slo_ms=request.slo_ms)
    prompt = [0] * request.num_prompt_tokens
    return Sequence(seq_id, "", prompt, params, max_tokens=request.num_output_tokens, arrival_s=request.arrival_s)


def capacity_per_s(speed: Speed, *, num_requests: int = 500, seed: int = 0) -> float:
    """Requests a second of `mixed_requests` when there is always another one waiting."""
    requests = mixed_requests(num_requests, 1.0, seed=seed)
    server = SimulatedServer(make_policy("fcfs"), speed)
    server.serve([replace(request, arrival_s=0.0) for request in requests])
    return num_requests / server.now_s


def mixed_requests(
    num_requests: int, rate_per_s: float, *, speed: Speed = Speed(), urgent_share: float = 0.1, seed: int = 0
) -> list[Request]:
    """Poisson arrivals. An urgent request allows three times, any other ten times, what it takes on a full server."""
    rnd = Random(seed)
    full_step_s = speed.step_s(2 * speed.max_num_seqs)
    requests, now_s = [], 0.0
    for _ in range(num_requests):
        now_s += rnd.expovariate(rate_per_s)
        num_prompt_tokens, num_output_tokens = rnd.randint(50, 400), rnd.randint(20, 120)
        is_urgent = rnd.random() < urgent_share
        slo_ms = (3 if is_urgent else 10) * (num_output_tokens + 2) * full_step_s * 1e3
        requests.append(Request(now_s, num_prompt_tokens, num_output_tokens, slo_ms, is_urgent))
    return requests


class BatchServer:
    def __init__(
        self, max_wait_ms: float, *, max_batch: int = 64, base_s: float = 0.020, item_s: float = 0.001
    ) -> None:
        self.now_s = 0.0
        self.busy_s = 0.0
        self.num_batches = 0
        self._base_s = base_s
        self._item_s = item_s
        self._batcher: MicroBatcher[float] = MicroBatcher(max_batch, max_wait_ms, lambda: self.now_s)

    @property
    def capacity_per_s(self) -> float:
        """Items a second when every batch is full."""
        return self._batcher.max_batch / self._batch_s(self._batcher.max_batch)

    def serve(self, arrivals_s: Iterable[float]) -> list[float]:
        """How long each item waited for its batch to begin, in the order of arrival. The last batch goes as it is."""
        coming = deque(arrivals_s)
        waits_s: list[float] = []
        while coming or len(self._batcher):
            closes_in_s = self._batcher.closes_in_s
            if coming and (closes_in_s is None or coming[0] < self.now_s + closes_in_s):
                self._arrive(coming)
                continue
            if coming and closes_in_s is not None:
                self.now_s += closes_in_s
            waits_s += self._run(self._batcher.take(), coming)
        return waits_s

    def _batch_s(self, num_items: int) -> float:
        return self._base_s + self._item_s * num_items

    def _arrive(self, coming: deque[float]) -> None:
        self.now_s = coming.popleft()
        self._batcher.add(self.now_s)

    def _run(self, batch: list[float], coming: deque[float]) -> list[float]:
        begin_s, self.num_batches = self.now_s, self.num_batches + 1
        end_s = begin_s + self._batch_s(len(batch))
        while coming and coming[0] < end_s:
            self._arrive(coming)
        self.now_s = end_s
        self.busy_s += end_s - begin_s
        return [begin_s - arrival_s for arrival_s in batch]


def poisson_arrivals(num_arrivals: int, rate_per_s: float, *, seed: int = 0) -> list[float]:
    rnd = Random(seed)
    return list(accumulate(rnd.expovariate(rate_per_s) for _ in range(num_arrivals)))
