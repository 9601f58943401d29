"""Answers of /v1/chat/completions."""

from collections.abc import Iterator, Sequence
from typing import Any

from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.engine.sampler import TokenLogprobs
from quire.protocol.openai import ChatCompletionRequest
from quire.protocol.openai.answers import ChatLogprob, ChatLogprobs
from quire.server.render.token_texts import TokenTexts
from quire.server.render.writer import Event, Writer, finite, new_id


class ChatWriter(Writer):
    def __init__(
        self, request: ChatCompletionRequest, prepared: list[PreparedRequest], texts: TokenTexts, model: str
    ) -> None:
        kind = "chat.completion.chunk" if request.stream else "chat.completion"
        super().__init__(request, prepared, texts, answer_id=new_id("chatcmpl"), model=model, kind=kind)
        self._num_choices = request.n
        self._num_top = request.top_logprobs or 0
        self._prompt_token_ids = prepared[0].token_ids

    def first(self) -> Iterator[Event]:
        for index in range(self._num_choices):
            delta = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {**self._event([choice]), **self._prompt_ids()}

    def _choice(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event:  # noqa: ARG002
        message = {"role": "assistant", "content": completion.text, "refusal": None}
        said = {"index": completion.index, "message": message, "logprobs": self._logprobs(completion.logprobs)}
        return {**said, **self._end(completion)}

    def _delta(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event:  # noqa: ARG002
        delta = {"content": completion.text} if completion.text else {}
        said = {"index": completion.index, "delta": delta, "logprobs": self._logprobs(completion.logprobs)}
        return {**said, **self._end(completion)}

    def _extras(self, outputs: list[RequestOutput]) -> Event:
        asked = self._request.prompt_logprobs is not None
        return {**self._prompt_ids(), **({"prompt_logprobs": self._prompt_logprobs(outputs[0])} if asked else {})}

    def _prompt_ids(self) -> dict[str, Any]:
        return {"prompt_token_ids": self._prompt_token_ids} if self._request.return_token_ids else {}

    def _logprobs(self, scores: Sequence[TokenLogprobs] | None) -> ChatLogprobs | None:
        return {"content": [self._logprob(score) for score in scores]} if scores else None

    def _logprob(self, score: TokenLogprobs) -> ChatLogprob:
        top = score.top[: self._num_top]
        return {
            "token": self._text(score.token_id),
            "logprob": finite(score.logprob),
            "bytes": self._texts.utf8(score.token_id),
            "top_logprobs": [
                {"token": self._text(token_id), "logprob": finite(logprob), "bytes": self._texts.utf8(token_id)}
                for token_id, logprob in top
            ],
        }
