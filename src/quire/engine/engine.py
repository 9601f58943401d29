"""The engine loop: requests in, one step at a time, outputs out.

    add_request ──▶ [scheduler] ──▶ step: schedule · run · complete · collect ──▶ RequestOutputs

Thread safety: `prepare` may be called from any thread; everything else from one. A request that cannot be served is
refused by `prepare` or `add_request` and touches nobody else. A step that fails ends the requests that were in it, one
that cannot be planned those that run or come in with it, a token that cannot be taken up its request, and none of them
any other; only a step that fails with EngineClosedError was the last.
"""

import logging
import time
from collections.abc import Callable, Iterable

from quire.cache.token_budget import TokenBudget
from quire.engine.in_flight import InFlight
from quire.engine.memory_guard import MemoryGuard
from quire.engine.outputs import EngineStats, Output, OutputKind
from quire.engine.prompts import PreparedRequest, Prompt, RequestChecker
from quire.engine.requests import RequestState
from quire.engine.runner import ModelRunner, StepResult
from quire.engine.sampler import Sampler, SamplerOutput, TokenLogprobs
from quire.engine.token_account import TokenAccount
from quire.errors import CapacityError, EngineClosedError
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams
from quire.scheduling.scheduler import ScheduledBatch, Scheduler
from quire.sequence import FinishReason, Sequence

log = logging.getLogger(__name__)

_States = dict[str, RequestState]
_Failures = dict[str, tuple[RequestState, Exception]]


class LLMEngine:
    def __init__(
        self,
        scheduler: Scheduler,
        runner: ModelRunner,
        sampler: Sampler,
        checker: RequestChecker,
        tokenizer: Tokenizer | None,
        memory_guard: MemoryGuard,
        *,
        min_num_blocks: int,
        next_seq_id: Callable[[], int],
        budget: TokenBudget,
        clock: Callable[[], float] = time.monotonic,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.scheduler = scheduler
        self.tokenizer = tokenizer
        self.budget = budget
        """What requests and the KV cache hold, and may hold; admission reserves here under a request's id."""
        self._account = TokenAccount(budget, scheduler.blocks)
        self._in_flight = InFlight(
            scheduler,
            runner,
            sampler,
            self._account,
            tokenizer,
            stop_ids=checker.stop_ids,
            next_seq_id=next_seq_id,
            clock=clock,
        )
        self._runner = runner
        self._checker = checker
        self._clock = clock
        self._on_close = on_close
        self._memory_guard = memory_guard
        self._block_limits = (min_num_blocks, scheduler.blocks.num_blocks)
        self._counters = dict.fromkeys(("steps", "prefill", "decode", "cached", "preemptions"), 0)

    # ── requests ───────────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, prompt: Prompt, params: SamplingParams | None = None) -> PreparedRequest:
        """Tokenizes and checks a request and compiles its grammar; raises InvalidRequestError. Changes nothing."""
        return self._checker.prepare(prompt, params or SamplingParams())

    def prepare_embedding(self, prompt: Prompt) -> PreparedRequest:
        """The same for a text to be embedded."""
        return self._checker.prepare_embedding(prompt)

    def add_request(
        self,
        request_id: str,
        prompt: Prompt | PreparedRequest,
        params: SamplingParams | None = None,
        *,
        output_kind: OutputKind = OutputKind.CUMULATIVE,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        """Queues a request. Raises InvalidRequestError, and queues nothing, when it cannot be served, and CapacityError
        when the budget of tokens has no room for it. `on_start` is called within the step that makes its first token,
        whether an output is due then or not."""
        prepared = prompt if isinstance(prompt, PreparedRequest) else self.prepare(prompt, params)
        self._in_flight.add(request_id, prepared, output_kind, on_start)

    def add_embedding(self, request_id: str, prompt: Prompt | PreparedRequest) -> None:
        """Queues a text to be embedded: the model's last hidden state, at unit length."""
        prepared = prompt if isinstance(prompt, PreparedRequest) else self.prepare_embedding(prompt)
        self._in_flight.add_embedding(request_id, prepared)

    def abort(self, request_ids: str | Iterable[str]) -> None:
        """Ends requests wherever they are; unknown ids are ignored. Nothing more comes of them."""
        self._in_flight.abort([request_ids] if isinstance(request_ids, str) else request_ids)

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and output together."""
        return self._checker.max_model_len

    @property
    def has_unfinished(self) -> bool:
        return self.scheduler.has_unfinished

    # ── one step ───────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self) -> list[Output]:
        """Runs what the scheduler chose. Returns the outputs that are due; may be empty."""
        started_s = self._clock()
        self._mind_memory(started_s)
        outputs = self._run(started_s)
        self._account.observe()
        return outputs

    def _run(self, started_s: float) -> list[Output]:
        batch: ScheduledBatch | None = None
        try:
            batch = self._plan(started_s)
            if not batch.sequences:
                return []
            result = self._runner.run(batch)
        except EngineClosedError:  # no step can be run any more
            raise
        except Exception as error:
            sequences = self._in_flight.may_be_planned() if batch is None else [*batch.sequences, *batch.samples]
            log.exception("a step of %d sequences failed", len(sequences))
            outputs = self._in_flight.fail(sequences, error)
            self.scheduler.blocks.reset()  # what the step promised to the block index was not computed
            return outputs
        self.scheduler.complete(batch)
        now_s = self._clock()
        self._count(batch, now_s - started_s)
        return self._collect(batch, result, now_s)

    def hold_until_s(self) -> float | None:
        """When nothing runs because waiting prompts are held back for company: until when."""
        return None if self.scheduler.running else self.scheduler.hold_until_s(self._clock())

    def resize_cache(self, num_blocks: int) -> None:
        """The KV cache has so many blocks from now on, at most as many as it began with. What runs is moved down, the
        least urgent preempted where the rest is too small, and the memory above is given back to the system. Raises
        CapacityError, and changes nothing, where not even one sequence would fit."""
        low, high = self._block_limits
        if not low <= num_blocks <= high:
            raise CapacityError(f"The KV cache cannot have {num_blocks} blocks; allowed: {low} to {high}.")
        moves, preempted = self.scheduler.resize(num_blocks, self._clock())
        self._counters["preemptions"] += len(preempted)
        for seq in preempted:
            self._runner.release(seq)
        self._runner.resize(moves, num_blocks)
        self._account.observe()

    def close(self) -> None:
        """Aborts everything and gives the model and its cache back."""
        self.abort(self._in_flight.ids)
        self._on_close()

    def stats(self) -> EngineStats:
        counters, blocks = self._counters, self.scheduler.blocks
        return EngineStats(
            num_running=len(self.scheduler.running),
            num_waiting=self.scheduler.num_waiting,
            num_blocks=blocks.num_blocks,
            num_free_blocks=blocks.num_free_blocks,
            num_steps=counters["steps"],
            num_prefill_tokens=counters["prefill"],
            num_decode_tokens=counters["decode"],
            num_cached_tokens=counters["cached"],
            num_preemptions=counters["preemptions"],
        )

    def check_invariants(self) -> None:
        self.scheduler.check_invariants()
        self._in_flight.check_invariants()

    # ── the parts of a step ────────────────────────────────────────────────────────────────────────────────────────

    def _plan(self, now_s: float) -> ScheduledBatch:
        batch = self.scheduler.schedule(now_s)
        for parent, child in batch.forks:
            self._in_flight.fork(parent, child)
        return batch

    def _collect(self, batch: ScheduledBatch, result: StepResult, now_s: float) -> list[Output]:
        for seq_id, (position, scores) in result.prompt_logprobs.items():
            self._add_prompt_logprobs(self._in_flight.generations[seq_id].seq, position, scores)
        touched, failed = self._take_up(batch.samples, result.sampled, now_s)
        outputs: list[Output] = []
        for state in touched.values():
            try:
                output = state.output()
            except Exception as error:
                failed[state.request_id] = state, error
            else:
                if output is not None:
                    outputs.append(output)
        for seq, hidden in zip(batch.pooled, result.pooled, strict=True):
            outputs.append(self._in_flight.embed(seq, hidden.float().numpy()))
        for request_id, (state, cause) in failed.items():
            log.error("a token of request %r could not be taken up", request_id, exc_info=cause)
            outputs.append(self._in_flight.end(state, cause))
        return outputs

    def _take_up(self, samples: list[Sequence], sampled: SamplerOutput, now_s: float) -> tuple[_States, _Failures]:
        """The tokens of a step become the requests'. Whose output is due; and who could not take up its token, and
        why."""
        touched: _States = {}
        failed: _Failures = {}
        generations, requests = self._in_flight.generations, self._in_flight.requests
        for row, (seq, token_id) in enumerate(zip(samples, sampled.token_ids, strict=True)):
            generation, state = generations[seq.seq_id], requests[seq.request_id]
            try:
                if seq.first_token_s is None:
                    self._note_first_token(seq, now_s)
                if row in sampled.failures:
                    seq.stop_reason = sampled.failures[row]
                    reason: FinishReason | None = FinishReason.ERROR
                else:
                    reason = generation.push(token_id, row in sampled.completed)
                    if (score := sampled.logprobs[row]) is not None:
                        generation.add_logprobs(score)
                if reason is not None:
                    self._in_flight.finish(state, generation, reason, now_s)
                if state.kind is not OutputKind.FINAL or reason is not None:
                    touched[seq.request_id] = state
            except Exception as error:
                failed[seq.request_id] = state, error
        for request_id in failed:
            touched.pop(request_id, None)
        return touched, failed

    # ── bookkeeping ────────────────────────────────────────────────────────────────────────────────────────────────

    def _mind_memory(self, now_s: float) -> None:
        num_blocks = self.scheduler.blocks.num_blocks
        wanted = self._memory_guard.wanted_blocks(num_blocks, self._block_limits, now_s)
        if wanted != num_blocks:
            log.info("the KV cache goes from %d to %d blocks", num_blocks, wanted)
            self.resize_cache(wanted)

    def _add_prompt_logprobs(self, seq: Sequence, position: int, scores: list[TokenLogprobs]) -> None:
        """A preempted prompt is computed again from its start; what was scored before is scored anew, not twice."""
        known = self._in_flight.requests[seq.request_id].prompt_logprobs
        if known is not None:
            known[position : position + len(scores)] = scores

    def _note_first_token(self, seq: Sequence, now_s: float) -> None:
        seq.first_token_s = now_s
        state = self._in_flight.requests[seq.request_id]
        metrics = state.metrics
        if metrics is not None and metrics.first_token_s is None:
            self._account.computed(seq.request_id)
            state.on_start()
            metrics.first_token_s = now_s
            metrics.first_scheduled_s = seq.first_scheduled_s
            metrics.num_cached_tokens = seq.num_cached_tokens
            self._counters["cached"] += seq.num_cached_tokens

    def _count(self, batch: ScheduledBatch, step_s: float) -> None:
        num_prefill, num_decode = batch.num_prefill_tokens, batch.num_decodes
        self._counters["steps"] += 1
        self._counters["prefill"] += num_prefill
        self._counters["decode"] += num_decode
        self._counters["preemptions"] += len(batch.preempted)
        self.scheduler.policy.observe(num_prefill, num_decode, step_s)
