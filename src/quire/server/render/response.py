"""Answers of /v1/responses: items, and the events in which a stream opens, fills and closes them."""

import itertools
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quire.engine.outputs import CompletionOutput, RequestOutput
from quire.engine.prompts import PreparedRequest
from quire.protocol.openai.responses import ResponsesRequest
from quire.protocol.openai.responses.answers import ResponseUsage
from quire.protocol.openai.responses.items import Status
from quire.sequence import FinishReason
from quire.server.errors import ApiError
from quire.server.parsing import thoughts
from quire.server.parsing.reader import Parser
from quire.server.render.blocks import Block, BlockKind, Blocks, Change, Closed, Opened
from quire.server.render.message import new_call_id
from quire.server.render.token_texts import TokenTexts
from quire.server.render.writer import Event, UsageMeter

_PREFIXES = {BlockKind.THOUGHT: "rs", BlockKind.TEXT: "msg", BlockKind.CALL: "fc"}
_PART_TYPES = {BlockKind.THOUGHT: "reasoning_text", BlockKind.TEXT: "output_text"}


class ResponseWriter:
    def __init__(
        self, request: ResponsesRequest, prepared: list[PreparedRequest], texts: TokenTexts, model: str, reader: Parser
    ) -> None:
        self.answer_id = f"resp_{uuid.uuid4().hex}"
        self._texts = texts
        self._skips_special = prepared[0].params.skip_special_tokens
        self._meter = UsageMeter(prepared)
        self._blocks = Blocks(reader)
        self._ids: list[tuple[str, str]] = []
        """Of each block: the item's, and the call's."""
        self._text = ""
        self._token_ids: list[int] = []
        self._is_cut = False
        self._numbers = itertools.count()
        self._head = {"id": self.answer_id, "object": "response", "created_at": int(time.time()), "model": model}
        self._asked = _echo(request)

    def answer(self, outputs: list[RequestOutput]) -> Event:
        (output,) = outputs
        (completion,) = output.outputs
        self._take(output, completion)
        self._blocks.read_whole(completion)
        return self._response("incomplete" if self._is_cut else "completed")

    def first(self) -> Iterator[Event]:
        for kind in ("created", "in_progress"):
            yield self._event(f"response.{kind}", response=self._response("in_progress"))

    def events(self, index: int, output: RequestOutput) -> Iterator[Event]:  # noqa: ARG002 (there is one prompt)
        (completion,) = output.outputs
        self._take(output, completion)
        for change in self._blocks.push(completion):
            yield from self._told(change)

    def last(self) -> Iterator[Event]:
        status: Status = "incomplete" if self._is_cut else "completed"
        yield self._event(f"response.{status}", response=self._response(status))

    def failed(self, error: ApiError) -> Event:
        return self._event("error", code=error.code, message=str(error), param=error.param)

    def _take(self, output: RequestOutput, completion: CompletionOutput) -> None:
        self._meter.add(0, output)
        self._text += completion.text
        self._token_ids += completion.token_ids
        self._is_cut = completion.finish_reason is FinishReason.LENGTH

    def _told(self, change: Change) -> Iterator[Event]:
        block = change.block
        item_id, _ = self._ids_of(block)
        place = {"output_index": block.index, "item_id": item_id}
        in_part = place if block.kind is BlockKind.CALL else {**place, "content_index": 0}
        name = "function_call_arguments" if block.kind is BlockKind.CALL else _PART_TYPES[block.kind]
        logprobs: dict[str, Any] = {"logprobs": []} if block.kind is BlockKind.TEXT else {}
        if isinstance(change, Opened):
            item = self._item(block, "in_progress")
            yield self._event("response.output_item.added", output_index=block.index, item=item)
            if block.kind is not BlockKind.CALL:
                yield self._event("response.content_part.added", **in_part, part=_part(block))
        elif isinstance(change, Closed):
            said = {"arguments" if block.kind is BlockKind.CALL else "text": block.text}
            yield self._event(f"response.{name}.done", **in_part, **said, **logprobs)
            if block.kind is not BlockKind.CALL:
                yield self._event("response.content_part.done", **in_part, part=_part(block))
            yield self._event("response.output_item.done", output_index=block.index, item=self._item(block))
        else:
            yield self._event(f"response.{name}.delta", **in_part, delta=change.text, **logprobs)

    def _event(self, kind: str, **said: Any) -> Event:
        return {"type": kind, "sequence_number": next(self._numbers), **said}

    def _response(self, status: Status) -> Event:
        is_over = status != "in_progress"
        return {
            **self._head,
            **self._asked,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "output": [self._item(block) for block in self._blocks.all] if is_over else [],
            "usage": self._usage() if is_over else None,
        }

    def _item(self, block: Block, status: Status | None = None) -> dict[str, Any]:
        item_id, call_id = self._ids_of(block)
        state: Status = status or ("completed" if block.is_complete else "incomplete")
        if block.kind is BlockKind.CALL:
            named = {"call_id": call_id, "name": block.name, "arguments": block.text}
            return {"type": "function_call", "id": item_id, "status": state, **named}
        content: Any = [] if status == "in_progress" else [_part(block)]
        if block.kind is BlockKind.THOUGHT:
            return {"type": "reasoning", "id": item_id, "status": state, "summary": [], "content": content}
        return {"type": "message", "id": item_id, "status": state, "role": "assistant", "content": content}

    def _ids_of(self, block: Block) -> tuple[str, str]:
        while len(self._ids) <= block.index:
            kind = self._blocks.all[len(self._ids)].kind
            self._ids.append((f"{_PREFIXES[kind]}_{uuid.uuid4().hex}", new_call_id()))
        return self._ids[block.index]

    def _usage(self) -> ResponseUsage:
        meter = self._meter
        return {
            "input_tokens": meter.num_prompt,
            "input_tokens_details": {"cached_tokens": meter.num_cached, "cache_write_tokens": 0},
            "output_tokens": meter.num_output,
            "output_tokens_details": {"reasoning_tokens": self._num_thought_tokens()},
            "total_tokens": meter.num_prompt + meter.num_output,
        }

    def _num_thought_tokens(self) -> int:
        """Those that begin before the mark that ends the thoughts does."""
        if not (self._blocks.all and self._blocks.all[0].kind is BlockKind.THOUGHT):
            return 0
        end = self._text.find(thoughts.CLOSE)
        if end < 0:
            return len(self._token_ids)
        offsets = self._texts.offsets(skip_special_tokens=self._skips_special).place(self._token_ids)
        return sum(1 for _ in itertools.takewhile(lambda offset: offset < end, offsets))


def _part(block: Block) -> Any:
    part = {"type": _PART_TYPES[block.kind], "text": block.text}
    return {**part, "annotations": [], "logprobs": []} if block.kind is BlockKind.TEXT else part


def _echo(request: ResponsesRequest) -> Mapping[str, Any]:
    """What was asked, as answers repeat it."""
    same: Sequence[str] = (
        *("instructions", "parallel_tool_calls", "temperature", "top_p", "max_output_tokens", "background", "store"),
        *("truncation", "user", "safety_identifier", "prompt_cache_key"),
    )
    choice = request.tool_choice
    return {
        **{name: getattr(request, name) for name in same},
        "metadata": request.metadata or {},
        "previous_response_id": None,
        "service_tier": "default",
        "reasoning": {"effort": request.reasoning.effort, "summary": None},
        "text": request.text.model_dump(by_alias=True, exclude_none=True),
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(exclude_none=True),
        "tools": [{**tool.model_dump(), "strict": tool.strict is not False} for tool in request.tools],
    }
