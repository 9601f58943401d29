"""Requests in flight: what the caller asked, the completions so far, and the outputs made from them.

`Generation` follows one sequence: its text, log-probabilities, and whether its newest token ends it. `RequestState`
gathers the n generations of a request. Neither schedules nor samples.
"""

from collections.abc import Callable

from quire.engine.detokenizer import Detokenizer
from quire.engine.outputs import CompletionOutput, OutputKind, RequestMetrics, RequestOutput
from quire.engine.sampler import TokenLogprobs
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams
from quire.sequence import FinishReason, Sequence


class Generation:
    """The caller's side of one sequence."""

    __slots__ = (
        "_detokenizer",
        "_max_length",
        "_num_delivered",
        "_stop_ids",
        "_tokenizer",
        "cumulative_logprob",
        "is_told",
        "logprobs",
        "seq",
    )

    def __init__(
        self,
        seq: Sequence,
        tokenizer: Tokenizer | None,
        *,
        stop_ids: frozenset[int],
        is_streaming: bool,
    ) -> None:
        params = seq.params
        self.seq = seq
        self.logprobs: list[TokenLogprobs] | None = [] if params.logprobs is not None else None
        self.cumulative_logprob = 0.0
        self.is_told = False
        """Its end was in an output; deltas have nothing more to say of it."""
        self._tokenizer = tokenizer
        self._stop_ids = stop_ids
        self._max_length = seq.num_prompt_tokens + seq.max_tokens
        self._num_delivered = 0
        self._detokenizer: Detokenizer | None = None
        # Text is made as the tokens come only for those who read or search it then.
        if tokenizer is not None and (is_streaming or params.stop_strings):
            self._detokenizer = Detokenizer(
                tokenizer.new_decoder(skip_special_tokens=params.skip_special_tokens),
                params.stop_strings,
                include_stop=params.include_stop_str_in_output,
                min_tokens=params.min_tokens,
            )

    def push(self, token_id: int, is_complete: bool) -> FinishReason | None:
        """Takes the sequence's next token; says whether and why it was the last. `is_complete`: nothing may follow it
        in the form that was asked for."""
        seq, detokenizer = self.seq, self._detokenizer
        seq.token_ids.append(token_id)
        if token_id in self._stop_ids:
            return self._stop_at(token_id)
        if detokenizer is not None:
            stop = detokenizer.append(token_id)
            if stop is not None:
                seq.stop_reason = stop
                return FinishReason.STOP
        if is_complete:
            return FinishReason.STOP
        return FinishReason.LENGTH if len(seq.token_ids) >= self._max_length else None

    def _stop_at(self, token_id: int) -> FinishReason:
        params = self.seq.params
        if token_id in (params.stop_token_ids or ()):
            self.seq.stop_reason = token_id
        if self._detokenizer is not None and params.include_stop_str_in_output:
            self._detokenizer.append(token_id)
        return FinishReason.STOP

    def add_logprobs(self, scores: TokenLogprobs) -> None:
        self.cumulative_logprob += scores.logprob
        if self.logprobs is not None:
            self.logprobs.append(scores)

    def finish(self, reason: FinishReason) -> FinishReason:
        """No token follows: lets out the text that was held back. A stop string may come to light in it, and is then
        the reason."""
        stop = self._detokenizer.finish() if self._detokenizer is not None else None
        if stop is not None and reason is FinishReason.LENGTH:
            self.seq.stop_reason = stop
            return FinishReason.STOP
        return reason

    def take(self, kind: OutputKind) -> CompletionOutput:
        """The output of this sequence now; with DELTA, what came since the last call."""
        seq = self.seq
        start, end = seq.num_prompt_tokens, len(seq.token_ids)
        if kind is OutputKind.DELTA:
            start += self._num_delivered
            self._num_delivered = end - seq.num_prompt_tokens
        self.is_told = seq.is_finished
        logprobs = self.logprobs
        return CompletionOutput(
            index=seq.index,
            text=self._text(kind),
            token_ids=seq.token_ids[start:end],
            logprobs=None if logprobs is None else logprobs[start - seq.num_prompt_tokens :],
            cumulative_logprob=None if logprobs is None else self.cumulative_logprob,
            finish_reason=seq.finish_reason,
            stop_reason=seq.stop_reason,
        )

    def _text(self, kind: OutputKind) -> str:
        if self._detokenizer is not None:
            return self._detokenizer.take_delta() if kind is OutputKind.DELTA else self._detokenizer.text
        if self._tokenizer is None:
            return ""
        params, ids = self.seq.params, self.seq.output_token_ids
        if self.seq.finish_reason is FinishReason.STOP and ids and ids[-1] in self._stop_ids:
            ids = ids if params.include_stop_str_in_output else ids[:-1]
        return self._tokenizer.decode(ids, skip_special_tokens=params.skip_special_tokens)


class RequestState:
    """One request and its n generations."""

    __slots__ = (
        "generations",
        "kind",
        "metrics",
        "num_unfinished",
        "on_start",
        "params",
        "prompt",
        "prompt_logprobs",
        "prompt_token_ids",
        "request_id",
    )

    def __init__(
        self,
        request_id: str,
        prompt: str | None,
        prompt_token_ids: list[int],
        params: SamplingParams,
        kind: OutputKind,
        on_start: Callable[[], None],
    ) -> None:
        self.request_id = request_id
        self.prompt = prompt
        self.prompt_token_ids = prompt_token_ids
        self.params = params
        self.kind = kind
        self.on_start = on_start
        """To be called when the first token is there."""
        self.generations: list[Generation] = []
        self.num_unfinished = params.n
        self.prompt_logprobs: list[TokenLogprobs | None] | None = None if params.prompt_logprobs is None else [None]
        self.metrics: RequestMetrics | None = None

    @property
    def is_finished(self) -> bool:
        return self.num_unfinished == 0

    def output(self) -> RequestOutput | None:
        """What the caller is to see now; None when the request's kind of output is not due."""
        if self.kind is OutputKind.FINAL and not self.is_finished:
            return None
        is_delta = self.kind is OutputKind.DELTA
        completions = [g.take(self.kind) for g in self.generations if not (is_delta and g.is_told)]
        if is_delta:
            completions = [c for c in completions if c.token_ids or c.text or c.is_finished]
        return RequestOutput(
            request_id=self.request_id,
            prompt=self.prompt,
            prompt_token_ids=self.prompt_token_ids,
            outputs=completions,
            is_finished=self.is_finished,
            prompt_logprobs=self.prompt_logprobs,
            metrics=self.metrics,
        )

    def failure(self, message: str) -> RequestOutput:
        """That it is over, and why, of each completion; without text, which may be what failed."""
        completions = [
            CompletionOutput(g.seq.index, "", [], finish_reason=FinishReason.ERROR, stop_reason=message)
            for g in self.generations
        ]
        return RequestOutput(
            self.request_id, self.prompt, self.prompt_token_ids, completions, is_finished=True, metrics=self.metrics
        )
