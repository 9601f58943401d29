"""Tools: functions of the caller's that an answer may call, and which of them it is to call."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from quire.errors import InvalidRequestError, shown, suggest
from quire.protocol.fields import Body
from quire.sampling_params import MAX_SCHEMA_CHARS

MAX_TOOLS = 512

FunctionName = Annotated[str, Field(min_length=1, max_length=256)]


class Function(Body):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]{1,128}$")]
    description: Annotated[str, Field(max_length=MAX_SCHEMA_CHARS)] | None = None
    parameters: dict[str, Any] | None = None
    """A JSON schema of an object. Default: any object."""
    strict: bool | None = None
    """Calls that the model makes are then held to the schema while it writes them."""

    @property
    def schema_of_arguments(self) -> dict[str, Any]:
        return self.parameters or {"type": "object"}


class Tool(Body):
    type: Literal["function"] = "function"
    function: Function


class NamedFunction(Body):
    name: FunctionName


class NamedToolChoice(Body):
    type: Literal["function"] = "function"
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice
TOOL_CHOICES = "'none', 'auto', 'required', or {'type': 'function', 'function': {'name': …}}."
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


class CalledFunction(Body):
    name: FunctionName
    arguments: str = "{}"
    """JSON, as the model wrote it."""


class ToolCall(Body):
    unsupported: ClassVar[Mapping[str, str]] = {"custom": "tools are functions."}

    id: Annotated[str, Field(max_length=256)]
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None
    """Of a stream; joined deltas still hold it."""


ToolCalls = Annotated[list[ToolCall], Field(max_length=MAX_TOOLS)]


def check_tools(tools: Iterable[Tool], choice: str | NamedToolChoice | None) -> None:
    """Raises InvalidRequestError where a name is there twice, or none is the one to be called."""
    names = [tool.function.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequestError(f"tools has {shown(twice)} twice; a call must say which is meant.", param="tools")
    if not names and choice not in (None, "none", "auto"):
        raise InvalidRequestError("tool_choice needs tools to choose from.", param="tool_choice")
    if isinstance(choice, NamedToolChoice) and choice.function.name not in names:
        given = choice.function.name
        raise InvalidRequestError(
            f"tool_choice names {shown(given)}, which is not one of the tools.{suggest(given, names)}",
            param="tool_choice",
        )
