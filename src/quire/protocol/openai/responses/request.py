"""The request of /v1/responses, which is a chat under other names."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from quire.errors import InvalidRequestError, shown
from quire.protocol.fields import MAX_TEXT_LIST, Body, Label, by_type, checked
from quire.protocol.openai.chat import NOT_STORED, ChatCompletionRequest, ReasoningEffort
from quire.protocol.openai.messages import TemplateChoice
from quire.protocol.openai.responses.items import NOT_KEPT, Item, messages_of
from quire.protocol.openai.sampling import DecodingBody
from quire.protocol.openai.tools import MAX_TOOLS, Function, FunctionName
from quire.sampling_params import MAX_SCHEMA_CHARS, MAX_TOKENS

SAME_NAMES = frozenset(DecodingBody.model_fields) | frozenset(TemplateChoice.model_fields)
"""Fields that a chat has too."""

_OWN_FUNCTIONS = "tools are functions of yours."


class FunctionTool(Function):
    """A function, held to its schema unless `strict` is false."""

    unsupported: ClassVar[Mapping[str, str]] = {"defer_loading": "all tools are shown to the model."}

    type: Literal["function"]

    def for_chat(self) -> dict[str, Any]:
        given = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {**given, "strict": self.strict is not False}}


class ChosenFunction(Body):
    type: Literal["function"]
    name: FunctionName


class AllowedTools(Body):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[ChosenFunction], Field(min_length=1, max_length=MAX_TOOLS)]


class TextFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, Field(max_length=64)] | None = None
    description: Annotated[str, Field(max_length=MAX_SCHEMA_CHARS)] | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    """The schema is held to in any case."""

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        if (self.type == "json_schema") != (self.schema_ is not None):
            raise InvalidRequestError(
                f"type is {self.type!r}; a schema comes with type 'json_schema', and only with it.", param="type"
            )
        return self

    def for_chat(self) -> dict[str, Any]:
        if self.schema_ is None:
            return {"type": self.type}
        schema = {"name": self.name, "description": self.description, "schema": self.schema_}
        return {"type": self.type, "json_schema": {name: value for name, value in schema.items() if value is not None}}


class TextConfig(Body):
    unsupported: ClassVar[Mapping[str, str]] = {"verbosity": "say in the instructions how much is wanted."}

    format: TextFormat = Field(default_factory=lambda: TextFormat.model_validate({"type": "text"}))


class Reasoning(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "summary": "thoughts are told in full.",
        "generate_summary": "thoughts are told in full.",
        "context": "the template decides which thoughts of before it shows.",
        "mode": "there is one mode.",
    }

    effort: ReasoningEffort | None = None


class StreamOptions(Body):
    include_obfuscation: Literal[False] = False
    """Events are sent as they are."""


def _as_items(given: Any) -> Any:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


class ResponsesRequest(DecodingBody, TemplateChoice):
    unsupported: ClassVar[Mapping[str, str]] = {
        **DecodingBody.unsupported,
        "previous_response_id": NOT_KEPT,
        "conversation": NOT_KEPT,
        "prompt": NOT_KEPT,
        "context_management": NOT_KEPT,
        "max_tool_calls": "this server calls no tools itself.",
        "top_logprobs": "log-probabilities come with /v1/chat/completions.",
        "prompt_cache_options": "prefixes are kept for as long as there is room.",
        "prompt_cache_retention": "prefixes are kept for as long as there is room.",
        "moderation": "texts are not judged here.",
    }

    input: Annotated[
        list[Item],
        Field(min_length=1, max_length=MAX_TEXT_LIST),
        BeforeValidator(_as_items, json_schema_input_type=str | list[Item]),
    ]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    text: TextConfig = TextConfig()
    tools: Annotated[
        list[
            Annotated[
                FunctionTool, by_type(FunctionTool, unsupported={"custom": _OWN_FUNCTIONS, "mcp": _OWN_FUNCTIONS})
            ]
        ],
        Field(max_length=MAX_TOOLS),
    ] = Field(default_factory=list)
    tool_choice: (
        Literal["none", "auto", "required"]
        | Annotated[ChosenFunction | AllowedTools, by_type(ChosenFunction, AllowedTools)]
    ) = Field("auto", description="'none', 'auto', 'required', or an object of type 'function' or 'allowed_tools'.")
    parallel_tool_calls: bool = True
    reasoning: Reasoning = Reasoning()
    stream_options: StreamOptions | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        None, max_length=16
    )
    """Comes back with the answer."""
    include: Annotated[list[str], Field(max_length=0)] = Field(default_factory=list)
    background: Literal[False] = False
    """The answer comes with the request."""
    store: Literal[False] = False
    truncation: Literal["disabled"] = "disabled"
    service_tier: Literal["auto", "default"] | None = None
    user: Label | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_on_its_own(cls, given: Any) -> Any:
        """Says why, where a value would have the server keep something, or cut something off."""
        reasons = (("store", NOT_STORED), ("background", NOT_STORED), ("include", "an answer has all there is."))
        for name, reason in reasons if isinstance(given, dict) else ():
            if given.get(name):
                raise InvalidRequestError(f"{name} is {shown(given[name])}, which cannot be had: {reason}", param=name)
        if isinstance(given, dict) and given.get("truncation") == "auto":
            raise InvalidRequestError(
                "truncation is 'auto'; allowed: 'disabled'. Send the part of the conversation that counts.",
                param="truncation",
            )
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options needs stream to be true.", param="stream_options")
        return self

    def to_chat(self) -> ChatCompletionRequest:
        """The same as a chat. Raises InvalidRequestError where its parts do not fit together."""
        instructions = [{"role": "system", "content": self.instructions}] if self.instructions is not None else []
        tools, choice = self._offered()
        return checked(
            ChatCompletionRequest,
            {
                **{name: getattr(self, name) for name in SAME_NAMES & self.model_fields_set},
                "messages": [*instructions, *messages_of(self.input)],
                "max_completion_tokens": self.max_output_tokens,
                "response_format": self.text.format.for_chat(),
                "tools": [tool.for_chat() for tool in tools],
                "tool_choice": choice,
                "parallel_tool_calls": self.parallel_tool_calls,
                "reasoning_effort": self.reasoning.effort,
                **{name: getattr(self, name) for name in ("user", "safety_identifier", "prompt_cache_key")},
            },
        )

    def _offered(self) -> tuple[list[FunctionTool], Any]:
        """The tools that may be called, and the choice among them in a chat's words."""
        choice = self.tool_choice
        if isinstance(choice, ChosenFunction):
            return self.tools, {"type": "function", "function": {"name": choice.name}}
        if not isinstance(choice, AllowedTools):
            return self.tools, choice
        allowed = {tool.name for tool in choice.tools}
        unknown = allowed - {tool.name for tool in self.tools}
        if unknown:
            raise InvalidRequestError(
                f"tool_choice allows {shown(min(unknown))}, which is not one of the tools.", param="tool_choice"
            )
        return [tool for tool in self.tools if tool.name in allowed], choice.mode
