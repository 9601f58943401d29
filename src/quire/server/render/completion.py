"""Answers of /v1/completions. With `echo` the prompt, and its log-probabilities, come before what follows it."""

from collections.abc import Iterator, Sequence
from typing import Any

from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.engine.sampler import TokenLogprobs
from quire.protocol.openai import CompletionRequest
from quire.protocol.openai.answers import CompletionLogprobs
from quire.sequence import FinishReason
from quire.server.render.token_texts import TextOffsets, TokenTexts
from quire.server.render.writer import Event, Writer, finite, new_id


class CompletionWriter(Writer):
    def __init__(
        self, request: CompletionRequest, prepared: list[PreparedRequest], texts: TokenTexts, model: str
    ) -> None:
        super().__init__(request, prepared, texts, answer_id=new_id("cmpl"), model=model, kind="text_completion")
        self.is_scored_only = request.max_tokens == 0
        self._num_choices = request.n
        self._echo = request.echo
        self._num_top = request.logprobs
        self._offsets: dict[int, TextOffsets] = {}
        self._begun: set[int] = set()

    def events(self, index: int, output: RequestOutput) -> Iterator[Event]:
        """The prompt comes with the first output, when its log-probabilities are known."""
        if index not in self._begun:
            self._begun.add(index)
            if self._echo or self._request.return_token_ids:
                for number in range(self._num_choices):
                    yield self._event([self._prompt_choice(output, self._place(index, number))])
        yield from super().events(index, output)

    def _prompt_choice(self, output: RequestOutput, place: int) -> Event:
        said: dict[str, Any] = {
            "index": place,
            "text": "",
            "logprobs": None,
            "finish_reason": None,
            "stop_reason": None,
        }
        if self._echo:
            said |= {"text": self._prompt_text(output), "logprobs": self._prompt_part(output, place)}
        if self._request.return_token_ids:
            said |= {"prompt_token_ids": output.prompt_token_ids, "token_ids": []}
        return said

    def _choice(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event:
        place = self._place(index, completion.index)
        parts = [self._prompt_part(output, place)] if self._echo else []
        parts += [] if self.is_scored_only else [self._part(completion.logprobs, place)]
        text = (self._prompt_text(output) if self._echo else "") + self._shown_text(completion)
        said: dict[str, Any] = {"index": place, "text": text, "logprobs": _joined(parts), **self._end(completion)}
        if self._request.return_token_ids:
            said["prompt_token_ids"] = output.prompt_token_ids
        if self._request.prompt_logprobs is not None:
            said["prompt_logprobs"] = self._prompt_logprobs(output)
        return said

    def _delta(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event | None:  # noqa: ARG002
        if not (completion.text or self._has_news(completion)):
            return None
        place = self._place(index, completion.index)
        logprobs = None if self.is_scored_only else self._part(completion.logprobs, place)
        return {"index": place, "text": self._shown_text(completion), "logprobs": logprobs, **self._end(completion)}

    def _end(self, completion: CompletionOutput) -> Event:
        if not self.is_scored_only:
            return super()._end(completion)
        said = {"finish_reason": str(FinishReason.LENGTH), "stop_reason": None}
        return {**said, "token_ids": []} if self._request.return_token_ids else said

    def _place(self, index: int, number: int) -> int:
        """Choices of all prompts are numbered through."""
        return index * self._num_choices + number

    def _shown_text(self, completion: CompletionOutput) -> str:
        return "" if self.is_scored_only else completion.text

    def _prompt_text(self, output: RequestOutput) -> str:
        if output.prompt is not None:
            return output.prompt
        return self._texts.decode(output.prompt_token_ids, skip_special_tokens=self._request.skip_special_tokens)

    def _prompt_part(self, output: RequestOutput, place: int) -> CompletionLogprobs | None:
        if self._num_top is None or output.prompt_logprobs is None:
            return None
        return self._logprobs(output.prompt_token_ids, output.prompt_logprobs, place)

    def _part(self, scores: Sequence[TokenLogprobs] | None, place: int) -> CompletionLogprobs | None:
        if self._num_top is None or not scores:
            return None
        return self._logprobs([score.token_id for score in scores], scores, place)

    def _logprobs(
        self, token_ids: Sequence[int], scores: Sequence[TokenLogprobs | None], place: int
    ) -> CompletionLogprobs:
        if place not in self._offsets:
            self._offsets[place] = self._texts.offsets(skip_special_tokens=self._request.skip_special_tokens)
        return {
            "tokens": [self._text(token_id) for token_id in token_ids],
            "token_logprobs": [None if score is None else finite(score.logprob) for score in scores],
            "top_logprobs": [None if score is None else self._top(score) for score in scores],
            "text_offset": [*self._offsets[place].place(token_ids)],
        }

    def _top(self, score: TokenLogprobs) -> dict[str, float]:
        """The likeliest tokens, and the one that stands there."""
        top = {self._text(token_id): finite(logprob) for token_id, logprob in score.top[: self._num_top]}
        return {**top, self._text(score.token_id): finite(score.logprob)}


def _joined(parts: Sequence[CompletionLogprobs | None]) -> CompletionLogprobs | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    first, *others = found
    for part in others:
        first["tokens"] += part["tokens"]
        first["token_logprobs"] += part["token_logprobs"]
        first["top_logprobs"] += part["top_logprobs"]
        first["text_offset"] += part["text_offset"]
    return first
