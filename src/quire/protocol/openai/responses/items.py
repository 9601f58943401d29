"""The items of a conversation, and how they become messages.

    reasoning, message, function_call, function_call, function_call_output
    └────── one message of the assistant ──────────┘  └── one of a tool ──┘

The ids and states of items that come back from an answer say nothing that the prompt could hold.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, by_type, checked
from quire.protocol.openai.messages import TEXT_ONLY, ChatMessage
from quire.protocol.openai.tools import FunctionName

NOT_KEPT = "this server keeps nothing of earlier requests; send the whole conversation as input."
_NOT_TEXT: Mapping[str, str] = {
    **dict.fromkeys(("input_image", "input_file", "input_audio"), TEXT_ONLY),
    "refusal": "what was said goes as output_text.",
}

Status = Literal["in_progress", "completed", "incomplete"]


class TextPart(Body):
    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class ThoughtPart(Body):
    type: Literal["reasoning_text", "summary_text"]
    text: str


def _as_part(given: Any) -> Any:
    return [{"type": "text", "text": given}] if isinstance(given, str) else given


Part = Annotated[TextPart, by_type(TextPart, unsupported=_NOT_TEXT)]
Text = Annotated[
    list[Part],
    Field(max_length=MAX_TEXT_LIST),
    BeforeValidator(_as_part, json_schema_input_type=str | list[TextPart]),
]


class InputMessage(Body):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Text
    id: Label | None = None
    status: Status | None = None


class Thoughts(Body):
    unsupported: ClassVar[Mapping[str, str]] = {"encrypted_content": "thoughts are sent as they are, as content."}

    type: Literal["reasoning"]
    summary: Annotated[list[ThoughtPart], Field(max_length=MAX_TEXT_LIST)] = Field(default_factory=list)
    content: Annotated[list[ThoughtPart], Field(max_length=MAX_TEXT_LIST)] = Field(default_factory=list)
    id: Label | None = None
    status: Status | None = None

    @property
    def text(self) -> str:
        """In full where it is there, else in short."""
        return "\n".join(part.text for part in self.content or self.summary)


class FunctionCall(Body):
    type: Literal["function_call"]
    call_id: Label
    name: FunctionName
    arguments: str
    id: Label | None = None
    status: Status | None = None

    def for_chat(self) -> dict[str, Any]:
        return {"id": self.call_id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class FunctionCallOutput(Body):
    type: Literal["function_call_output"]
    call_id: Label
    output: Text
    id: Label | None = None
    status: Status | None = None


Item = Annotated[
    InputMessage | Thoughts | FunctionCall | FunctionCallOutput,
    by_type(
        InputMessage,
        Thoughts,
        FunctionCall,
        FunctionCallOutput,
        default="message",
        unsupported={"item_reference": NOT_KEPT},
    ),
]


def messages_of(items: Iterable[Item]) -> list[ChatMessage]:
    """The conversation as messages: what an assistant thought, said and called in turn is one of them."""
    found: list[dict[str, Any]] = []
    turn: dict[str, Any] = {}
    """The assistant's, while it goes on."""
    for item in items:
        if isinstance(item, FunctionCallOutput):
            turn = {}
            found.append({"role": "tool", "tool_call_id": item.call_id, "content": text_of(item.output)})
            continue
        if isinstance(item, InputMessage) and item.role != "assistant":
            turn = {}
            found.append({"role": item.role, "content": text_of(item.content)})
            continue
        if not turn or not _can_follow(item, turn):
            turn = {"role": "assistant"}
            found.append(turn)
        _add(item, turn)
    return [checked(ChatMessage, _complete(message)) for message in found]


def _can_follow(item: InputMessage | Thoughts | FunctionCall, turn: Mapping[str, Any]) -> bool:
    """Thoughts begin a message; its text comes once, before its calls."""
    if isinstance(item, FunctionCall):
        return True
    is_begun = "content" in turn or "tool_calls" in turn
    return not is_begun and not (isinstance(item, Thoughts) and "reasoning_content" in turn)


def _add(item: InputMessage | Thoughts | FunctionCall, turn: dict[str, Any]) -> None:
    if isinstance(item, FunctionCall):
        turn.setdefault("tool_calls", []).append(item.for_chat())
    elif isinstance(item, Thoughts):
        turn["reasoning_content"] = item.text
    else:
        turn["content"] = text_of(item.content)


def _complete(message: dict[str, Any]) -> dict[str, Any]:
    """Thoughts that nothing followed stand in a message of no text."""
    return message if "content" in message or "tool_calls" in message else {**message, "content": ""}


def text_of(parts: Iterable[TextPart]) -> str:
    return "\n".join(part.text for part in parts)
