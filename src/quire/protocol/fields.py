"""How a request body is read: JSON in, a checked object out, or words that say which field is wrong and why.

Every request type extends `Body`. A field is honoured or refused; null means absent. Numbers and lists are bounded by
their types. Knows nothing of what any field means.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from quire.errors import InvalidRequestError, shown, suggest
from quire.sampling_params import MAX_ID_LIST

MAX_TEXT_LIST = 2048
"""Prompts, texts or messages of one request."""

Penalty = Annotated[float, Field(ge=-2, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]
TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]
TokenIds = Annotated[list[TokenId], Field(max_length=MAX_ID_LIST)]
PromptIds = Annotated[list[TokenId], Field(max_length=1 << 24)]
Label = Annotated[str, Field(max_length=256)]


class Body(BaseModel):
    """What `parse` makes. Unknown names are refused with the nearest known one."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    unsupported: ClassVar[Mapping[str, str]] = {}
    """Fields that clients may know from elsewhere, each with the reason why it is refused."""

    @model_validator(mode="before")
    @classmethod
    def _only_what_is_known(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        given = {name: value for name, value in given.items() if value is not None}
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for name in given:
            if name in cls.unsupported:
                raise InvalidRequestError(f"{name} is not supported here: {cls.unsupported[name]}", param=name)
            if name not in known:
                raise InvalidRequestError(f"There is no field {shown(name)}.{suggest(name, known)}", param=name[:80])
        return given


BodyT = TypeVar("BodyT", bound=Body)


def parse(kind: type[BodyT], text: bytes | str) -> BodyT:
    """The body of this kind. Raises InvalidRequestError, which names the field at fault."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise _explained(kind, error) from None


def checked(kind: type[BodyT], fields: Mapping[str, Any]) -> BodyT:
    """The same of fields that were read already."""
    try:
        return kind.model_validate(dict(fields))
    except ValidationError as error:
        raise _explained(kind, error) from None


def by_type(
    *kinds: type[Body], default: str | None = None, unsupported: Mapping[str, str] | None = None
) -> BeforeValidator:
    """Reads an object as the one of the kinds that its `type` names, so that an error is about that one. Without a
    type it is the `default`."""
    named = {name: kind for kind in kinds for name in get_args(kind.model_fields["type"].annotation)}

    def read(given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        name = given.get("type") or default
        if isinstance(name, str) and name in named:
            return checked(named[name], given)
        reason = (unsupported or {}).get(name) if isinstance(name, str) else None
        why = f", since {reason}" if reason else "."
        raise InvalidRequestError(f"type is {shown(name)}; allowed: {', '.join(map(repr, named))}{why}", param="type")

    return BeforeValidator(read)


def _explained(kind: type[Body], error: ValidationError) -> InvalidRequestError:
    first, *others = error.errors(include_url=False)
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidRequestError):
        return InvalidRequestError(str(cause), param=_path((*first["loc"], *([cause.param] if cause.param else []))))
    if first["type"] == "json_invalid":
        return InvalidRequestError(f"The body is not JSON: {cause}.")
    if not first["loc"]:
        return InvalidRequestError(f"The body is {shown(first['input'])}; allowed: a JSON object.")
    if first["type"] == "missing":
        return InvalidRequestError(f"{_path(first['loc'])} is missing.", param=_path(first["loc"]))
    name = str(first["loc"][0])
    field = kind.model_fields.get(name)
    is_of_alternatives = any(other["loc"][0] == name for other in others)
    if is_of_alternatives and field is not None and field.description:
        return InvalidRequestError(f"{name} cannot be read; allowed: {field.description}", param=name)
    path = _path(first["loc"])
    return InvalidRequestError(f"{path} is {shown(first['input'])}; {_lowered(first['msg'])}.", param=path)


def _path(parts: tuple[int | str, ...]) -> str | None:
    """`messages[0].content`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or None


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
