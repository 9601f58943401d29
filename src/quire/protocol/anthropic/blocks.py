"""The blocks of a conversation, and how they become messages.

    user:       tool_result, text        a message of a tool, then one of the user
    assistant:  thinking, text, tool_use    one message

Signatures of thoughts are neither made nor checked: thoughts are sent as they are.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from quire.errors import InvalidRequestError
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, by_type, checked
from quire.protocol.openai.messages import TEXT_ONLY, ChatMessage
from quire.protocol.openai.tools import FunctionName

_NOT_TEXT: Mapping[str, str] = {
    **dict.fromkeys(("image", "document"), TEXT_ONLY),
    "search_result": "what was found goes as text.",
    "redacted_thinking": "this server cannot read it.",
}


class CacheControl(Body):
    """Asks that a prefix is kept, which all are, for as long as there is room."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class TextBlock(Body):
    unsupported: ClassVar[Mapping[str, str]] = {"citations": "the text goes without them."}

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None


class ThinkingBlock(Body):
    type: Literal["thinking"]
    thinking: str
    signature: Annotated[str, Field(max_length=1 << 20)] = ""


class ToolUseBlock(Body):
    type: Literal["tool_use"]
    id: Label
    name: FunctionName
    input: dict[str, Any]
    cache_control: CacheControl | None = None


def _as_block(given: Any) -> Any:
    return [{"type": "text", "text": given}] if isinstance(given, str) else given


Text = Annotated[
    list[Annotated[TextBlock, by_type(TextBlock, unsupported=_NOT_TEXT)]],
    Field(max_length=MAX_TEXT_LIST),
    BeforeValidator(_as_block, json_schema_input_type=str | list[TextBlock]),
]


class ToolResultBlock(Body):
    type: Literal["tool_result"]
    tool_use_id: Label
    content: Text = Field(default_factory=list)
    is_error: bool = False
    """The model is told so."""
    cache_control: CacheControl | None = None

    @property
    def text(self) -> str:
        return ("Error: " if self.is_error else "") + text_of(self.content)


Block = TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock
Blocks = Annotated[
    list[Annotated[Block, by_type(TextBlock, ThinkingBlock, ToolUseBlock, ToolResultBlock, unsupported=_NOT_TEXT)]],
    Field(max_length=MAX_TEXT_LIST),
    BeforeValidator(_as_block, json_schema_input_type=str | list[Block]),
]
_OF_ROLE: Mapping[str, tuple[type[Body], ...]] = {
    "system": (TextBlock,),
    "user": (TextBlock, ToolResultBlock),
    "assistant": (TextBlock, ThinkingBlock, ToolUseBlock),
}


class Message(Body):
    role: Literal["user", "assistant", "system"]
    content: Blocks

    def for_chat(self) -> Iterator[ChatMessage]:
        """Raises InvalidRequestError for a block that has no place in a message of its role."""
        for block in self.content:
            if not isinstance(block, _OF_ROLE[self.role]):
                raise InvalidRequestError(
                    f"A block of type {block.type!r} has no place in a message of the role {self.role!r}.",
                    param="messages",
                )
        if self.role == "assistant":
            yield checked(ChatMessage, self._said())
            return
        text: list[TextBlock] = []
        for block in self.content:
            if isinstance(block, TextBlock):
                text.append(block)
            elif isinstance(block, ToolResultBlock):
                yield from self._told(text)
                text = []
                yield ChatMessage(role="tool", tool_call_id=block.tool_use_id, content=block.text)
        if text or not self.content:
            yield ChatMessage(role=self.role, content=text_of(text))

    def _told(self, text: list[TextBlock]) -> Iterator[ChatMessage]:
        if text:
            yield ChatMessage(role=self.role, content=text_of(text))

    def _said(self) -> dict[str, Any]:
        thoughts = [block.thinking for block in self.content if isinstance(block, ThinkingBlock)]
        calls = [
            {"id": block.id, "function": {"name": block.name, "arguments": json.dumps(block.input)}}
            for block in self.content
            if isinstance(block, ToolUseBlock)
        ]
        said: dict[str, Any] = {"role": self.role, "content": text_of(self._texts())}
        return {**said, "reasoning_content": "\n".join(thoughts) or None, "tool_calls": calls or None}

    def _texts(self) -> Iterator[TextBlock]:
        return (block for block in self.content if isinstance(block, TextBlock))


def text_of(blocks: Iterable[TextBlock]) -> str:
    return "\n".join(block.text for block in blocks)
