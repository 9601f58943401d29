"""Messages of quire.proto as the dicts of the HTTP API, and back: a field has the same name and meaning in both.

What JSON has and protobuf has not stands in messages of their own: a list within a list in one whose only field is
`items`, an object of any names in one whose only field is `entries`, an object of anything in google.protobuf.Struct.
A number that is not there is NaN within a list. Invariant: what is not set is not in the dict, and a dict's None is not
set.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

WRAPPED = frozenset({"items", "entries"})

MessageT = TypeVar("MessageT", bound=Message)


def as_dict(message: Message, *, with_zeros: bool = False) -> dict[str, Any]:
    """The fields that are set; `with_zeros` also those numbers and texts that cannot be told from unset ones."""
    zeros = _zeros(message.DESCRIPTOR) if with_zeros else {}
    return {**zeros, **{field.name: _told(field, value, with_zeros) for field, value in message.ListFields()}}


def as_message(kind: type[MessageT], fields: Mapping[str, Any]) -> MessageT:
    """A message with those of the fields that it has; others are left out."""
    message: MessageT = kind()
    fill(message, fields)
    return message


def fill(message: Message, fields: Mapping[str, Any], *, is_strict: bool = False) -> None:
    """Sets the fields that it has. Raises KeyError for others where that is strict, and TypeError or ValueError for
    values that a field cannot hold."""
    known = message.DESCRIPTOR.fields_by_name
    for name, value in fields.items():
        field = known.get(name)
        if field is None and is_strict:
            raise KeyError(name)
        if field is not None and value is not None:
            _set(message, field, value, is_strict)


def _told(field: FieldDescriptor, value: Any, with_zeros: bool) -> Any:
    if _is_map(field):
        return dict(value)
    if field.message_type is not None:
        if field.is_repeated:
            return [_told_message(item, with_zeros) for item in value]
        return _told_message(value, with_zeros)
    if field.is_repeated:
        return [None if item != item else item for item in value]
    return [*value] if field.type == FieldDescriptor.TYPE_BYTES else value


def _told_message(message: Message, with_zeros: bool) -> Any:
    if isinstance(message, Struct):
        return _whole_numbers(MessageToDict(message))
    fields, name = as_dict(message, with_zeros=with_zeros), _wrapped(message.DESCRIPTOR)
    return fields if name is None else fields.get(name, [] if name == "items" else {})


def _whole_numbers(value: Any) -> Any:
    """A Struct knows no whole numbers; JSON Schema does."""
    if isinstance(value, dict):
        return {name: _whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _set(message: Message, field: FieldDescriptor, value: Any, is_strict: bool) -> None:
    name = field.name
    if _is_map(field):
        getattr(message, name).update(value)
    elif field.message_type is not None and field.is_repeated:
        for item in value:
            _fill_message(getattr(message, name).add(), item, is_strict)
    elif field.message_type is not None:
        _fill_message(getattr(message, name), value, is_strict)
    elif field.is_repeated:
        getattr(message, name).extend(math.nan if item is None else item for item in value)
    else:
        setattr(message, name, _scalar(field, value))


def _fill_message(message: Message, value: Any, is_strict: bool) -> None:
    message.SetInParent()
    name = _wrapped(message.DESCRIPTOR)
    if isinstance(message, Struct):
        message.update(value)
    else:
        fill(message, (value or {}) if name is None else {name: value}, is_strict=is_strict)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        return str(value)
    return bytes(value) if field.type == FieldDescriptor.TYPE_BYTES else value


@cache
def _zeros(descriptor: Descriptor) -> dict[str, Any]:
    return {
        field.name: [] if field.type == FieldDescriptor.TYPE_BYTES else field.default_value
        for field in descriptor.fields
        if not (field.has_presence or field.is_repeated)
    }


@cache
def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


@cache
def _wrapped(descriptor: Descriptor) -> str | None:
    """The only field of a message that stands for a list or an object."""
    name, *others = descriptor.fields_by_name or ("",)
    return name if name in WRAPPED and not others else None
