"""Answers of /v1/chat/completions."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.engine.sampler import TokenLogprobs
from quire.protocol.openai import ChatCompletionRequest
from quire.protocol.openai.answers import ChatLogprob, ChatLogprobs
from quire.sequence import FinishReason
from quire.server.parsing.reader import Parser, read_whole
from quire.server.render.message import Message, delta_of, shown_citation
from quire.server.render.token_texts import TokenTexts
from quire.server.render.writer import Event, Writer, finite, new_id


class ChatWriter(Writer):
    def __init__(
        self,
        request: ChatCompletionRequest,
        prepared: list[PreparedRequest],
        texts: TokenTexts,
        model: str,
        new_reader: Callable[[], Parser] | None = None,
    ) -> None:
        """Without readers all that comes is text."""
        kind = "chat.completion.chunk" if request.stream else "chat.completion"
        super().__init__(request, prepared, texts, answer_id=new_id("chatcmpl"), model=model, kind=kind)
        self._num_choices = request.n
        self._num_top = request.top_logprobs or 0
        self._is_grounded = request.collection is not None
        self._has_reasoning = request.include_reasoning
        self._prompt_token_ids = prepared[0].token_ids
        self._new_reader = new_reader
        self._readers: dict[int, Parser] = {}
        self._callers: set[int] = set()
        """Choices in which a tool was called."""

    def first(self) -> Iterator[Event]:
        for index in range(self._num_choices):
            delta = {"role": "assistant", "content": ""}
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield {**self._event([choice]), **self._prompt_ids()}

    def _choice(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event:  # noqa: ARG002
        message: dict[str, Any] = {"role": "assistant", "content": completion.text, "refusal": None}
        if self._new_reader is not None:
            read = Message.of(read_whole(self._new_reader(), completion.text))
            message |= self._shown(read)
            if read.calls:
                self._callers.add(completion.index)
        said = {"index": completion.index, "message": message, "logprobs": self._logprobs(completion.logprobs)}
        return {**said, **self._end(completion)}

    def _delta(self, index: int, output: RequestOutput, completion: CompletionOutput) -> Event | None:  # noqa: ARG002
        if self._new_reader is not None:
            delta = self._read(completion, self._new_reader)
        else:
            delta = {"content": completion.text} if completion.text else {}
        if not (delta or self._has_news(completion)):
            return None
        said = {"index": completion.index, "delta": delta, "logprobs": self._logprobs(completion.logprobs)}
        return {**said, **self._end(completion)}

    def _shown(self, message: Message) -> dict[str, Any]:
        said: dict[str, Any] = {"content": message.text or (None if message.calls else "")}
        if message.reasoning and self._has_reasoning:
            said["reasoning_content"] = message.reasoning
        if message.calls:
            said["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in message.calls
            ]
        if self._is_grounded:
            said["citations"] = [shown_citation(citation) for citation in message.citations]
        return said

    def _read(self, completion: CompletionOutput, new_reader: Callable[[], Parser]) -> dict[str, Any]:
        reader = self._readers.get(completion.index)
        if reader is None:
            reader = self._readers[completion.index] = new_reader()
        parts = reader.push(completion.text) if completion.text else []
        if completion.is_finished:
            parts = [*parts, *reader.finish()]
        delta = delta_of(parts, has_reasoning=self._has_reasoning)
        if "tool_calls" in delta:
            self._callers.add(completion.index)
        return delta

    def _end(self, completion: CompletionOutput) -> Event:
        end = super()._end(completion)
        if completion.finish_reason is FinishReason.STOP and completion.index in self._callers:
            return {**end, "finish_reason": "tool_calls"}
        return end

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
