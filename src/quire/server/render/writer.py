"""Engine outputs as the OpenAI API's dicts: what completions and chats have in common.

A writer belongs to one request. `answer` makes the whole of it; `first`, `events` and `last` make the same as a
stream, where every choice ends exactly once.
"""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.engine.sampler import TokenLogprobs
from quire.protocol.openai import SamplingBody
from quire.protocol.openai.answers import PromptLogprob, PromptLogprobs, Usage
from quire.server.errors import ApiError
from quire.server.render.token_texts import TokenTexts

LEAST_LOGPROB = -9999.0
"""JSON has no infinity."""

Event = Mapping[str, Any]


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)


class AnswerWriter(Protocol):
    """Words the answer of one request: whole, or as a stream that is `first`, `events` of each output, and `last`."""

    @property
    def answer_id(self) -> str: ...

    def answer(self, outputs: list[RequestOutput]) -> Event:
        """All of it, from the finished output of each prompt."""
        ...

    def first(self) -> Iterator[Event]: ...

    def events(self, index: int, output: RequestOutput) -> Iterator[Event]:
        """What a further output of a prompt adds."""
        ...

    def last(self) -> Iterator[Event]: ...

    def failed(self, error: ApiError) -> Event:
        """What a stream ends with instead, where the answer fails."""
        ...


class UsageMeter:
    """Tokens of a request, counted as they come."""

    def __init__(self, prepared: Iterable[PreparedRequest]) -> None:
        self.num_prompt = sum(len(p.token_ids) for p in prepared)
        self.num_output = 0
        self._num_cached: dict[int, int] = {}

    @property
    def num_cached(self) -> int:
        """Of the prompts' tokens, those whose KV was there."""
        return sum(self._num_cached.values())

    def add(self, index: int, output: RequestOutput) -> None:
        self.num_output += sum(len(completion.token_ids) for completion in output.outputs)
        if output.metrics is not None:
            self._num_cached[index] = output.metrics.num_cached_tokens

    def usage(self, *, is_scored_only: bool = False) -> Usage:
        num_output = 0 if is_scored_only else self.num_output
        return {
            "prompt_tokens": self.num_prompt,
            "completion_tokens": num_output,
            "total_tokens": self.num_prompt + num_output,
            "prompt_tokens_details": {"cached_tokens": self.num_cached},
        }


class Writer(ABC):
    """Its `request` decides what is shown; `index` is which prompt an output belongs to."""

    is_scored_only = False
    """No text was asked for, only the prompt's log-probabilities."""

    def __init__(
        self,
        request: SamplingBody,
        prepared: list[PreparedRequest],
        texts: TokenTexts,
        *,
        answer_id: str,
        model: str,
        kind: str,
    ) -> None:
        self._request = request
        self._texts = texts
        self._meter = UsageMeter(prepared)
        self.answer_id = answer_id
        self._head = {"id": answer_id, "object": kind, "created": int(time.time()), "model": model}
        self._ended: set[tuple[int, int]] = set()
        options = request.stream_options
        self._has_usage_event = options is not None and options.include_usage
        self._has_usage_so_far = options is not None and options.continuous_usage_stats

    def answer(self, outputs: list[RequestOutput]) -> Event:
        """All of it, from the finished output of each prompt."""
        for index, output in enumerate(outputs):
            self._meter.add(index, output)
        choices = [
            self._choice(index, output, completion)
            for index, output in enumerate(outputs)
            for completion in output.outputs
        ]
        return {**self._head, "choices": choices, "usage": self._usage(), **self._extras(outputs)}

    def first(self) -> Iterator[Event]:
        """What a stream begins with."""
        return iter(())

    def events(self, index: int, output: RequestOutput) -> Iterator[Event]:
        self._meter.add(index, output)
        for completion in output.outputs:
            place = (index, completion.index)
            if place in self._ended:
                continue
            if completion.is_finished:
                self._ended.add(place)
            delta = self._delta(index, output, completion)
            if delta is not None:
                yield self._event([delta])

    def failed(self, error: ApiError) -> Event:
        return error.event()

    def last(self) -> Iterator[Event]:
        """What a stream ends with."""
        if self._has_usage_event:
            yield {**self._head, "choices": [], "usage": self._usage()}

    @abstractmethod
    def _choice(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event: ...

    @abstractmethod
    def _delta(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event | None:
        """None where there is nothing to tell yet."""

    def _extras(self, outputs: list[RequestOutput]) -> Event:  # noqa: ARG002 (completions have none)
        return {}

    def _event(self, choices: list[Event]) -> Event:
        event: dict[str, Any] = {**self._head, "choices": choices}
        if self._has_usage_so_far:
            event["usage"] = self._usage()
        elif self._has_usage_event:
            event["usage"] = None
        return event

    def _usage(self) -> Usage:
        return self._meter.usage(is_scored_only=self.is_scored_only)

    def _has_news(self, completion: CompletionOutput) -> bool:
        """Beside its text."""
        return bool(completion.is_finished or completion.logprobs or self._request.return_token_ids)

    def _end(self, completion: CompletionOutput) -> Event:
        """Why a choice ended, and its tokens where they are wanted."""
        reason = None if completion.finish_reason is None else str(completion.finish_reason)
        said: dict[str, Any] = {"finish_reason": reason, "stop_reason": completion.stop_reason}
        return {**said, "token_ids": completion.token_ids} if self._request.return_token_ids else said

    def _prompt_logprobs(self, output: RequestOutput) -> PromptLogprobs | None:
        num_top = self._request.prompt_logprobs
        if num_top is None or output.prompt_logprobs is None:
            return None
        return [None if scores is None else self._ranked(scores, num_top) for scores in output.prompt_logprobs]

    def _ranked(self, scores: TokenLogprobs, num_top: int) -> dict[str, PromptLogprob]:
        found: dict[str, PromptLogprob] = {}
        for rank, (token_id, logprob) in enumerate(scores.top[:num_top], 1):
            found[str(token_id)] = self._prompt_logprob(token_id, logprob, rank)
        found[str(scores.token_id)] = self._prompt_logprob(scores.token_id, scores.logprob, scores.rank)
        return found

    def _prompt_logprob(self, token_id: int, logprob: float, rank: int) -> PromptLogprob:
        return {"logprob": finite(logprob), "rank": rank, "decoded_token": self._text(token_id)}

    def _text(self, token_id: int) -> str:
        return self._texts.text(token_id, as_id=self._request.return_tokens_as_token_ids)
