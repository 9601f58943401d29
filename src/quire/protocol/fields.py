"""How a request body is read: JSON in, a checked object out, or words that say which field is wrong and why.

Every request type extends `Body`. A field is honoured or refused; null means absent. Numbers and lists are bounded by
their types. Knows nothing of what any field means.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from quire.errors import InvalidRequestError, shown, suggest
from quire.sampling_params import MAX_ID_LIST

MAX_TEXT_LIST = 2048
"""Prompts, texts or messages of one request."""

Place: TypeAlias = tuple[int | str, ...]
"""The names and positions that lead to a value of a body."""

_SHOULD_BE = "Input should be "

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
        is_json = error.errors(include_url=False)[0]["type"] != "json_invalid"
        raise _explained(kind, error, json.loads(text) if is_json else None) from None


def checked(kind: type[BodyT], fields: Mapping[str, Any]) -> BodyT:
    """The same of fields that were read already."""
    given = dict(fields)
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _explained(kind, error, given) from None


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


def _explained(kind: type[Body], error: ValidationError, given: Any) -> InvalidRequestError:
    """In words of ours, from the body as it was given."""
    mistakes = [_Mistake.of(found, given) for found in error.errors(include_url=False)]
    if mistakes[0].kind == "json_invalid":
        return InvalidRequestError(f"The body is not JSON: {mistakes[0].cause}.")
    one = _nearest(mistakes)
    path = _path(one.place)
    if isinstance(one.cause, InvalidRequestError):
        return _placed(one.cause, one.place)
    if path is None:
        return InvalidRequestError(f"The body is {shown(one.value)}; allowed: a JSON object.")
    if one.kind == "missing":
        return InvalidRequestError(f"{path} is missing.", param=path)
    field = kind.model_fields.get(str(one.place[0]))
    if one.choice is not None and field is not None and field.description:
        return InvalidRequestError(f"{path} is {shown(one.value)}; allowed: {field.description}", param=path)
    others = [other.message for other in mistakes if other.choice == one.choice and other.place == one.place]
    allowed = " or ".join(dict.fromkeys(message.removeprefix(_SHOULD_BE) for message in others))
    should = _SHOULD_BE if one.message.startswith(_SHOULD_BE) else ""
    return InvalidRequestError(f"{path} is {shown(one.value)}; {_lowered(should + allowed)}.", param=path)


class _Mistake(NamedTuple):
    """One of pydantic's errors."""

    kind: str
    message: str
    cause: object
    """What a validator of ours raised, or the parser of JSON."""
    place: Place
    """Down to the value at fault."""
    choice: Place | None
    """Down to the value that may be of several kinds, each of which was tried and has said why it is not it."""
    tried: int | str | None
    """The kind."""
    value: Any

    @classmethod
    def of(cls, error: Any, given: Any) -> "_Mistake":
        parts: Place = error["loc"]
        missing = parts[-1:] if error["type"] == "missing" else ()
        place: Place = ()
        choice, tried = None, None
        for part in parts[: len(parts) - len(missing)]:
            if part in (given if isinstance(given, dict) else range(len(given)) if isinstance(given, list) else ()):
                place += (part,)
                given = given[part]
            elif choice is None:  # pydantic's name of a kind
                choice, tried = place, part
        cause = error.get("ctx", {}).get("error")
        return cls(error["type"], error["msg"], cause, place + missing, choice, tried, error["input"])


def _nearest(mistakes: Sequence[_Mistake]) -> _Mistake:
    """The first; of a value that may be of several kinds, the first of the kind that it fits the furthest."""
    first = mistakes[0]
    if first.choice is None:
        return first
    firsts = {mistake.tried: mistake for mistake in reversed(mistakes) if mistake.choice == first.choice}
    nearest: _Mistake = max(
        firsts.values(), key=lambda mistake: (isinstance(mistake.cause, InvalidRequestError), mistake.place)
    )
    return nearest


def _placed(error: InvalidRequestError, place: Place) -> InvalidRequestError:
    """An error of a part of the body as one of the whole."""
    words, own = str(error), error.param
    param = _path((*place, own) if own else place)
    if own and re.match(rf"{re.escape(own)}\b", words):
        return InvalidRequestError(f"{param}{words.removeprefix(own)}", param=param)
    return InvalidRequestError(f"{_path(place)}: {words}" if place else words, param=param)


def _path(parts: Place) -> str | None:
    """`messages[0].content`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".") or None


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
