"""The requests of /v1/messages and /v1/messages/count_tokens, which are chats under other names."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from quire.errors import InvalidRequestError
from quire.protocol.anthropic.blocks import CacheControl, Message, Text, text_of
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, by_type, checked
from quire.protocol.openai.chat import ChatCompletionRequest
from quire.protocol.openai.messages import ChatMessage, TemplateChoice
from quire.protocol.openai.sampling import DecodingBody, Word
from quire.protocol.openai.tools import MAX_TOOLS, FunctionName
from quire.sampling_params import MAX_SCHEMA_CHARS, MAX_STOP_STRINGS, MAX_TOKENS

_SAME_NAMES = frozenset(DecodingBody.model_fields) | frozenset(TemplateChoice.model_fields)


class Tool(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "input_examples": "put them into the description.",
        "defer_loading": "all tools are shown to the model.",
        "allowed_callers": "the model calls tools itself.",
    }

    type: Literal["custom"] = "custom"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,128}$")]
    description: Annotated[str, Field(max_length=MAX_SCHEMA_CHARS)] | None = None
    input_schema: dict[str, Any]
    strict: bool = False
    """Calls are then held to the schema while the model writes them."""
    eager_input_streaming: Literal[True] | None = None
    """Inputs are streamed as they are written in any case."""
    cache_control: CacheControl | None = None

    def for_chat(self) -> dict[str, Any]:
        given = {"name": self.name, "description": self.description, "parameters": self.input_schema}
        return {"type": "function", "function": {**given, "strict": self.strict}}


class FreeChoice(Body):
    type: Literal["auto", "any"]
    disable_parallel_tool_use: bool = False


class NoChoice(Body):
    type: Literal["none"]


class NamedChoice(Body):
    type: Literal["tool"]
    name: FunctionName
    disable_parallel_tool_use: bool = False


class OutputFormat(Body):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class Thinking(Body):
    unsupported: ClassVar[Mapping[str, str]] = {"budget_tokens": "max_tokens counts thoughts and answer together."}

    type: Literal["adaptive", "enabled", "disabled"]
    display: Literal["summarized", "omitted"] | None = None


class Metadata(Body):
    user_id: Label | None = None
    """Stands in the log beside the request."""


class PromptBody(TemplateChoice):
    """What the model is shown, and how it is to answer."""

    unsupported: ClassVar[Mapping[str, str]] = {
        "container": "this server runs no code.",
        "mcp_servers": "this server calls no tools itself.",
        "context_management": "the whole conversation is shown to the model.",
        "inference_geo": "this server is where it is.",
        "user_profile_id": "send metadata.user_id.",
        "workspace_id": "send metadata.user_id.",
        "diagnostics": "what was cached stands in usage.",
    }

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_TEXT_LIST)]
    system: Text = Field(default_factory=list)
    tools: Annotated[list[Annotated[Tool, by_type(Tool, default="custom")]], Field(max_length=MAX_TOOLS)] = Field(
        default_factory=list
    )
    tool_choice: Annotated[FreeChoice | NoChoice | NamedChoice, by_type(FreeChoice, NoChoice, NamedChoice)] | None = (
        None
    )
    thinking: Thinking | None = None
    """Default: as the model does by itself."""
    output_config: OutputConfig = OutputConfig()
    cache_control: CacheControl | None = None
    speed: Literal["standard"] | None = None

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> Self:
        if self.messages[-1].role == "assistant":
            raise InvalidRequestError(
                "The last message is the assistant's, and an answer is not continued here; end with the user's.",
                param="messages",
            )
        return self

    def for_chat(self) -> dict[str, Any]:
        """The prompt's side of a chat. Raises InvalidRequestError where its parts do not fit together."""
        choice, config = self.tool_choice, self.output_config
        is_single = isinstance(choice, (FreeChoice, NamedChoice)) and choice.disable_parallel_tool_use
        is_silent = self.thinking is not None and self.thinking.type == "disabled"
        schema = None if config.format is None else {"schema": config.format.schema_}
        return {
            "messages": [*self._system(), *(said for message in self.messages for said in message.for_chat())],
            "tools": [tool.for_chat() for tool in self.tools],
            "tool_choice": self._choice(),
            "parallel_tool_calls": not is_single,
            "reasoning_effort": "none" if is_silent else config.effort,
            "response_format": None if schema is None else {"type": "json_schema", "json_schema": schema},
            "chat_template": self.chat_template,
            "chat_template_kwargs": self.chat_template_kwargs,
        }

    def _system(self) -> list[ChatMessage]:
        return [ChatMessage(role="system", content=text_of(self.system))] if self.system else []

    def _choice(self) -> Any:
        match self.tool_choice:
            case NamedChoice(name=name):
                return {"type": "function", "function": {"name": name}}
            case FreeChoice(type="any"):
                return "required"
            case None:
                return None
            case choice:
                return choice.type


class CountTokensRequest(PromptBody):
    model: Label | None = None

    def to_chat(self) -> ChatCompletionRequest:
        return checked(ChatCompletionRequest, self.for_chat())


class MessagesRequest(DecodingBody, PromptBody):
    unsupported: ClassVar[Mapping[str, str]] = {**DecodingBody.unsupported, **PromptBody.unsupported}

    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)]
    stop_sequences: Annotated[list[Word], Field(max_length=MAX_STOP_STRINGS)] = Field(default_factory=list)
    metadata: Metadata = Metadata()
    service_tier: Literal["auto", "standard_only"] | None = None
    """There is one."""

    def to_chat(self) -> ChatCompletionRequest:
        """The same as a chat. Raises InvalidRequestError where its parts do not fit together."""
        thinking = self.thinking
        return checked(
            ChatCompletionRequest,
            {
                **{name: getattr(self, name) for name in _SAME_NAMES & self.model_fields_set},
                **self.for_chat(),
                "max_tokens": self.max_tokens,
                "stop": self.stop_sequences or None,
                "user": self.metadata.user_id,
                "include_reasoning": thinking is None or thinking.display != "omitted",
            },
        )
