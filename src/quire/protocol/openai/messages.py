"""Conversations, and how they become prompts."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from quire.errors import InvalidRequestError, shown
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label
from quire.protocol.openai.sampling import Pattern

NO_TOOLS = "this server calls no tools yet."
TEXT_ONLY = "this server reads and writes text."


class ContentPart(Body):
    type: Literal["text"]
    text: str


class ChatMessage(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "tool_calls": NO_TOOLS,
        "tool_call_id": NO_TOOLS,
        "function_call": NO_TOOLS,
        "audio": TEXT_ONLY,
        "refusal": "send what was said as content.",
    }

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        str | Annotated[list[ContentPart], Field(min_length=1, max_length=MAX_TEXT_LIST)],
        Field(description="text, or a list of parts of type 'text'."),
    ]
    name: Label | None = None

    @field_validator("content", mode="before")
    @classmethod
    def _is_text(cls, content: Any) -> Any:
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") != "text":
                kind = shown(part.get("type"))
                raise InvalidRequestError(f"A part of content has the type {kind}; allowed: 'text', since {TEXT_ONLY}")
        return content

    def for_template(self) -> dict[str, str]:
        """The message as templates know it: parts joined by line ends, `developer` as `system`, which it replaces."""
        content = self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": content} | ({"name": self.name} if self.name else {})


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_TEXT_LIST)]


class TemplateBody(Body):
    """How a conversation becomes a prompt."""

    add_generation_prompt: bool = True
    chat_template: Pattern | None = None
    chat_template_kwargs: dict[str, Any] | None = None


TEMPLATE_FIELDS = frozenset(TemplateBody.model_fields)
