"""Conversations, and how they become prompts."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from quire.errors import InvalidRequestError, shown
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label
from quire.protocol.openai.sampling import Pattern
from quire.protocol.openai.tools import ToolCall, ToolCalls, Tools

TEXT_ONLY = "this server reads and writes text."


_ROLES = {
    "tool_calls": "assistant",
    "reasoning_content": "assistant",
    "citations": "assistant",
    "provider_specific_fields": "assistant",
    "tool_call_id": "tool",
}
"""Fields that stand in messages of one role only."""


class ContentPart(Body):
    type: Literal["text"]
    text: str


class ChatMessage(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "function_call": "send tool_calls, which came after it.",
        "audio": TEXT_ONLY,
        "refusal": "send what was said as content.",
    }

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        str | Annotated[list[ContentPart], Field(min_length=1, max_length=MAX_TEXT_LIST)] | None,
        Field(description="text, or a list of parts of type 'text'."),
    ] = None
    name: Label | None = None
    tool_calls: ToolCalls | None = None
    """What an assistant called."""
    tool_call_id: Label | None = None
    """Which call a message of a tool answers."""
    reasoning_content: str | None = None
    """What an assistant thought, for templates that show it again."""
    citations: list[dict[str, Any]] | None = None
    """What an answer came with beside its content. It may be sent back as it was; prompts have no place for it."""
    provider_specific_fields: dict[str, Any] | None = None
    """The same, in which litellm keeps and sends back what it does not know of an answer."""

    @field_validator("content", mode="before")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") != "text":
                kind = shown(part.get("type"))
                raise InvalidRequestError(f"A part of content has the type {kind}; allowed: 'text', since {TEXT_ONLY}")
        return content

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        for name, role in _ROLES.items():
            if getattr(self, name) is not None and self.role != role:
                raise InvalidRequestError(f"{name} stands in a message of the role '{role}' only.", param=name)
        if self.role == "tool" and self.tool_call_id is None:
            raise InvalidRequestError("tool_call_id is missing: which call is answered?", param="tool_call_id")
        if self.content is None and not self.tool_calls:
            raise InvalidRequestError("content is missing.", param="content")
        return self

    def for_template(self) -> dict[str, Any]:
        """The message as templates know it: parts joined by line ends, `developer` as `system`, which it replaces."""
        message = {
            "role": "system" if self.role == "developer" else self.role,
            "content": self._text(),
            "name": self.name,
            "tool_call_id": self.tool_call_id,
            "reasoning_content": self.reasoning_content,
            "tool_calls": [_call_for_template(call) for call in self.tool_calls or ()] or None,
        }
        return {name: value for name, value in message.items() if value is not None}

    def _text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


def _call_for_template(call: ToolCall) -> dict[str, Any]:
    """With the arguments as an object, which templates write as they please; as they are where they are none."""
    arguments: Any = call.function.arguments
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        parsed = None
    if isinstance(parsed, dict):
        arguments = parsed
    return {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": arguments}}


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_TEXT_LIST)]


class TemplateChoice(Body):
    """Which template makes a conversation a prompt."""

    chat_template: Pattern | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class TemplateBody(TemplateChoice):
    """How a conversation becomes a prompt."""

    tools: Tools | None = None
    add_generation_prompt: bool = True


TEMPLATE_FIELDS = frozenset(TemplateBody.model_fields)
