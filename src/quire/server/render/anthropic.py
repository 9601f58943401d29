"""Answers of /v1/messages: content blocks, and the events in which a stream opens, fills and closes them."""

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.protocol.anthropic.answers import MessageUsage
from quire.sequence import FinishReason
from quire.server.errors import ApiError, in_anthropic_words
from quire.server.parsing.reader import Parser
from quire.server.render.blocks import Block, BlockKind, Blocks, Change, Closed, Opened
from quire.server.render.writer import Event, UsageMeter


class MessageWriter:
    def __init__(self, prepared: list[PreparedRequest], model: str, reader: Parser, *, has_thoughts: bool) -> None:
        self.answer_id = f"msg_{uuid.uuid4().hex}"
        self._meter = UsageMeter(prepared)
        self._blocks = Blocks(reader, has_thoughts=has_thoughts)
        self._head = {"id": self.answer_id, "type": "message", "role": "assistant", "model": model}
        self._end: dict[str, str | None] = {"stop_reason": None, "stop_sequence": None}

    def answer(self, outputs: list[RequestOutput]) -> Event:
        (output,) = outputs
        (completion,) = output.outputs
        self._meter.add(0, output)
        self._blocks.read_whole(completion)
        self._finish(completion)
        content = [_shown(block) for block in self._blocks.all]
        return {**self._head, "content": content, **self._end, "usage": self._usage()}

    def first(self) -> Iterator[Event]:
        message: Event = {**self._head, "content": [], **self._end, "usage": self._usage()}
        yield {"type": "message_start", "message": message}

    def events(self, index: int, output: RequestOutput) -> Iterator[Event]:  # noqa: ARG002 (there is one prompt)
        (completion,) = output.outputs
        self._meter.add(0, output)
        for change in self._blocks.push(completion):
            yield _told(change)
        self._finish(completion)

    def last(self) -> Iterator[Event]:
        yield {"type": "message_delta", "delta": self._end, "usage": self._usage()}
        yield {"type": "message_stop"}

    def failed(self, error: ApiError) -> Event:
        return in_anthropic_words(error)

    def _finish(self, completion: CompletionOutput) -> None:
        if completion.finish_reason is FinishReason.LENGTH:
            self._end["stop_reason"] = "max_tokens"
        elif self._blocks.has_calls:
            self._end["stop_reason"] = "tool_use"
        elif isinstance(completion.stop_reason, str):
            self._end = {"stop_reason": "stop_sequence", "stop_sequence": completion.stop_reason}
        elif completion.is_finished:
            self._end["stop_reason"] = "end_turn"

    def _usage(self) -> MessageUsage:
        meter = self._meter
        return {
            "input_tokens": meter.num_prompt - meter.num_cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": meter.num_cached,
            "output_tokens": meter.num_output,
        }


def _told(change: Change) -> Event:
    block = change.block
    if isinstance(change, Opened):
        return {"type": "content_block_start", "index": block.index, "content_block": _shown(block)}
    if isinstance(change, Closed):
        return {"type": "content_block_stop", "index": block.index}
    return {"type": "content_block_delta", "index": block.index, "delta": _delta(block.kind, change.text)}


def _delta(kind: BlockKind, text: str) -> dict[str, str]:
    if kind is BlockKind.CALL:
        return {"type": "input_json_delta", "partial_json": text}
    if kind is BlockKind.THOUGHT:
        return {"type": "thinking_delta", "thinking": text}
    return {"type": "text_delta", "text": text}


def _shown(block: Block) -> dict[str, Any]:
    if block.kind is BlockKind.CALL:
        call_id, arguments = f"toolu_{uuid.uuid4().hex[:24]}", msgspec.Raw(block.text.encode() or b"{}")
        return {"type": "tool_use", "id": call_id, "name": block.name, "input": arguments}
    if block.kind is BlockKind.THOUGHT:
        return {"type": "thinking", "thinking": block.text, "signature": ""}
    return {"type": "text", "text": block.text}
