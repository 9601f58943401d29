"""What the Anthropic API answers with, as the dicts that are sent."""

from typing import Any, Literal

from typing_extensions import TypedDict


class ApiErrorBody(TypedDict):
    type: str
    message: str


class ApiErrorResponse(TypedDict):
    type: Literal["error"]
    error: ApiErrorBody
    request_id: str | None


class TextAnswer(TypedDict):
    type: Literal["text"]
    text: str


class ThinkingAnswer(TypedDict):
    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseAnswer(TypedDict):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(TypedDict):
    """All of the prompt is `input_tokens` and `cache_read_input_tokens` together."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class MessageAnswer(TypedDict):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextAnswer | ThinkingAnswer | ToolUseAnswer]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"] | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(TypedDict):
    input_tokens: int
