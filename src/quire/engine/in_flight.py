"""The requests that are in the engine: how each comes in, forks and leaves, told to everyone who holds a part of it.

    add ──▶ fork ──▶ finish · embed · fail · abort

A sequence has blocks of the scheduler, a row of the runner, a state of the sampler and a generation here; a request has
tokens in the account. They are taken and given back here and nowhere else, so that none stays behind. Knows no steps:
which sequences ran, and what came of it, it is told. One thread.
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from quire.engine.outputs import EmbeddingOutput, Output, OutputKind, RequestMetrics, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.engine.requests import Generation, RequestState
from quire.engine.runner import ModelRunner
from quire.engine.sampler import Sampler
from quire.engine.token_account import TokenAccount
from quire.errors import InvalidRequestError, shown
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams
from quire.scheduling.scheduler import Scheduler
from quire.sequence import FinishReason, Sequence

_NOTHING = np.empty(0, dtype=np.float32)


class InFlight:
    def __init__(
        self,
        scheduler: Scheduler,
        runner: ModelRunner,
        sampler: Sampler,
        account: TokenAccount,
        tokenizer: Tokenizer | None,
        *,
        stop_ids: Callable[[SamplingParams], frozenset[int]],
        next_seq_id: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self.requests: dict[str, RequestState] = {}
        """Those that generate, by their ids. To be read."""
        self.generations: dict[int, Generation] = {}
        """Their sequences that are not finished, by the ids of these. To be read."""
        self._embeddings: dict[str, Sequence] = {}
        self._scheduler = scheduler
        self._runner = runner
        self._sampler = sampler
        self._account = account
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids
        self._next_seq_id = next_seq_id
        self._clock = clock

    @property
    def ids(self) -> set[str]:
        return self.requests.keys() | self._embeddings.keys()

    # ── in ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, request_id: str, prepared: PreparedRequest, kind: OutputKind, on_start: Callable[[], None]) -> None:
        """Raises, and leaves nothing behind, when the id is taken or there is no room for it."""
        seq = self._new_sequence(request_id, prepared)
        state = RequestState(request_id, prepared.text, prepared.token_ids, prepared.params, kind, on_start)
        state.metrics = RequestMetrics(arrival_s=seq.arrival_s)
        self.requests[request_id] = state
        try:
            self._open(state, seq)
            self._sampler.add(seq, prepared.grammar, prepared.bad_words)
            self._scheduler.add(seq, seq.arrival_s)
        except Exception:
            self.abort([request_id])
            raise

    def add_embedding(self, request_id: str, prepared: PreparedRequest) -> None:
        seq = self._new_sequence(request_id, prepared, is_pooling=True)
        self._embeddings[request_id] = seq
        self._scheduler.add(seq, seq.arrival_s)

    def fork(self, parent: Sequence, child: Sequence) -> None:
        """The scheduler has made `child`, which goes on from its parent's tokens."""
        self._sampler.fork(parent, child)
        self._open(self.requests[child.request_id], child)

    def _new_sequence(self, request_id: str, prepared: PreparedRequest, *, is_pooling: bool = False) -> Sequence:
        if request_id in self.requests or request_id in self._embeddings:
            raise InvalidRequestError(
                f"request_id is {shown(request_id)}, which is already running; give each request its own.",
                param="request_id",
            )
        self._account.enter(request_id, prepared)
        return Sequence(
            self._next_seq_id(),
            request_id,
            prepared.token_ids,
            prepared.params,
            max_tokens=prepared.max_tokens,
            arrival_s=self._clock(),
            cache_salt=prepared.cache_salt,
            is_pooling=is_pooling,
        )

    def _open(self, state: RequestState, seq: Sequence) -> None:
        is_streaming = state.kind is not OutputKind.FINAL
        generation = Generation(seq, self._tokenizer, stop_ids=self._stop_ids(seq.params), is_streaming=is_streaming)
        state.generations.append(generation)
        self.generations[seq.seq_id] = generation

    # ── out ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self, state: RequestState, generation: Generation, reason: FinishReason, now_s: float) -> None:
        """One sequence has had its last token, and with the last of them the request is over."""
        seq = generation.seq
        self._close(seq, generation.finish(reason))
        state.num_unfinished -= 1
        if state.metrics is not None:
            state.metrics.num_preemptions += seq.num_preemptions
        if state.is_finished:
            self._leave(state.request_id)
            if state.metrics is not None:
                state.metrics.finished_s = now_s

    def embed(self, seq: Sequence, hidden: NDArray[np.float32]) -> EmbeddingOutput:
        """A text to be embedded is computed, and over."""
        self._leave(seq.request_id)
        self._close(seq, FinishReason.STOP)
        norm = float(np.linalg.norm(hidden))
        return EmbeddingOutput(seq.request_id, seq.prompt_token_ids, hidden / norm if norm else hidden)

    def abort(self, request_ids: Iterable[str]) -> None:
        """Ends requests wherever they are; unknown ids are ignored. Nothing more comes of them."""
        for request_id in list(request_ids):
            embedding, state = self._embeddings.get(request_id), self.requests.get(request_id)
            if embedding is not None:
                self._close(embedding, FinishReason.ABORT)
            for generation in state.generations if state else ():
                if not generation.seq.is_finished:
                    self._close(generation.seq, FinishReason.ABORT)
            self._leave(request_id)
        self._account.observe()

    def may_be_planned(self) -> list[Sequence]:
        """All that a plan may have begun with, for nobody knows at whom the scheduler failed. Where it is none, the
        next that waits: a request at which it always fails must not wait for ever."""
        waiting = {seq.seq_id for seq in self._scheduler.waiting()}
        live = [*(generation.seq for generation in self.generations.values()), *self._embeddings.values()]
        return [seq for seq in live if seq.seq_id not in waiting] or self._scheduler.next_waiting()

    def fail(self, sequences: Iterable[Sequence], error: Exception) -> list[Output]:
        """Ends the requests of these sequences, whose step failed."""
        outputs: list[Output] = []
        for request_id in dict.fromkeys(seq.request_id for seq in sequences):
            embedding = self._embeddings.get(request_id)
            if embedding is None:
                outputs.append(self.end(self.requests[request_id], error))
            else:
                self._leave(request_id)
                self._close(embedding, FinishReason.ERROR)
                outputs.append(EmbeddingOutput(request_id, embedding.prompt_token_ids, _NOTHING, error=_words(error)))
        return outputs

    def end(self, state: RequestState, error: Exception) -> RequestOutput:
        """Ends a request as it stands, asking nothing of what may have failed at it."""
        own = [generation.seq for generation in state.generations]
        forks = [seq for seq in self._scheduler.running.values() if seq.request_id == state.request_id]
        for seq in dict.fromkeys([*own, *forks]):  # a plan that failed has told nobody of its forks
            if not seq.is_finished:
                self._close(seq, FinishReason.ERROR)
        self._leave(state.request_id)
        return state.failure(_words(error))

    def _leave(self, request_id: str) -> None:
        self.requests.pop(request_id, None)
        self._embeddings.pop(request_id, None)
        self._account.leave(request_id)

    def _close(self, seq: Sequence, reason: FinishReason) -> None:
        self._scheduler.finish(seq, reason)
        self._runner.release(seq)
        self._sampler.remove(seq.seq_id)
        self.generations.pop(seq.seq_id, None)

    def check_invariants(self) -> None:
        alive = {seq.seq_id for seq in (*self._scheduler.running.values(), *self._scheduler.waiting())}
        assert alive == self.generations.keys() | {seq.seq_id for seq in self._embeddings.values()}
        self._account.check_invariants(self.ids)
        for state in self.requests.values():
            unfinished = [g for g in state.generations if not g.seq.is_finished]
            unforked = sum(g.seq.num_forks for g in unfinished)
            assert len(unfinished) + unforked == state.num_unfinished > 0, state.request_id


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
