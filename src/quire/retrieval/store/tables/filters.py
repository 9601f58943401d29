"""Which documents have this metadata: a filter as the user writes it, checked, then answered as a bitmap.

    {"lang": "en"}                                  equal; all fields of a filter must agree
    {"year": {"$gte": 2020, "$lt": 2024}}           $eq $ne $gt $gte $lt $lte $in $nin $exists, and $not around them
    {"$or": [{"lang": "de"}, {"$not": {"tags": "draft"}}]}          $and $or $not around filters

A field with a list agrees where one of its values does; a field below another is named by its path, "author.name".
Order is kept within a kind: numbers with numbers, text with text. $ne, $nin and $not also pass documents without the
field. Only leaves ask the database; what is around them is done on bitmaps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quire.errors import InvalidRequestError, shown, suggest
from quire.retrieval.store.tables.fields import Kind, as_row_value

Bitmap: TypeAlias = npt.NDArray[np.bool_]

MAX_DEPTH = 16
MAX_VALUES = 10_000
COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
OPERATORS = ("$eq", "$ne", *COMPARISONS, "$in", "$nin", "$exists", "$not")
CONNECTIVES = ("$and", "$or", "$not")


@dataclass(frozen=True, slots=True)
class Among:
    """The field has one of these values; with none given: the field is there."""

    field: str
    values: tuple[tuple[Kind, str | int | float], ...] | None


@dataclass(frozen=True, slots=True)
class Compared:
    field: str
    comparison: str
    kind: Kind
    value: str | int | float


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Some:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


Leaf: TypeAlias = Among | Compared
Filter: TypeAlias = Leaf | All | Some | Not


def parse(given: Any) -> Filter | None:
    """None for a filter that passes everything. Raises InvalidRequestError, which shows the part that is wrong."""
    return None if given is None or given == {} else _parse(given, 0)


def passing(tree: Filter, leaf: Callable[[Leaf], Bitmap]) -> Bitmap:
    """The bitmap of a filter, given those of its leaves."""
    if isinstance(tree, All):
        return reduce(np.logical_and, (passing(part, leaf) for part in tree.parts))
    if isinstance(tree, Some):
        return reduce(np.logical_or, (passing(part, leaf) for part in tree.parts))
    if isinstance(tree, Not):
        return np.logical_not(passing(tree.part, leaf))
    return leaf(tree)


def _parse(given: Any, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise _refusal(f"filter is nested more than {MAX_DEPTH} deep")
    if not isinstance(given, Mapping) or not given:
        raise _refusal(f"filter has the part {shown(given)}; allowed: a dict such as {{'lang': 'en'}}")
    return _all([_entry(name, value, depth) for name, value in given.items()])


def _entry(name: Any, value: Any, depth: int) -> Filter:
    if name == "$not":
        return Not(_parse(value, depth + 1))
    if name in ("$and", "$or"):
        if not isinstance(value, list | tuple) or not value:
            raise _refusal(f"{name} has {shown(value)}; allowed: a list of filters")
        parts = tuple(_parse(part, depth + 1) for part in value)
        return Some(parts) if name == "$or" else _all(parts)
    if not isinstance(name, str) or name.startswith("$"):
        raise _refusal(f"filter has {shown(name)}; allowed: a field, or {', '.join(CONNECTIVES)}.", name, CONNECTIVES)
    return _condition(name, value, depth)


def _condition(field: str, given: Any, depth: int) -> Filter:
    _check_text(field, field)
    if not isinstance(given, Mapping):
        return Among(field, (_value(field, given),))
    if not given or depth > MAX_DEPTH:
        raise _refusal(f"{field!r} has {shown(given)}; allowed: a value, or a dict such as {{'$gte': 2020}}")
    return _all([_operation(field, operator, value, depth) for operator, value in given.items()])


def _operation(field: str, operator: Any, value: Any, depth: int) -> Filter:
    match operator:
        case "$eq" | "$ne":
            leaf: Filter = Among(field, (_value(field, value),))
        case "$in" | "$nin":
            leaf = Among(field, _values(field, operator, value))
        case "$exists":
            if not isinstance(value, bool):
                raise _refusal(f"{field!r} has $exists {shown(value)}; allowed: true or false")
            return Among(field, None) if value else Not(Among(field, None))
        case "$not":
            return Not(_condition(field, value, depth + 1))
        case "$gt" | "$gte" | "$lt" | "$lte":
            kind, comparable = _value(field, value)
            if kind not in (Kind.NUMBER, Kind.TEXT):
                raise _refusal(f"{field!r} has {operator} {shown(value)}; allowed: a number or text")
            return Compared(field, COMPARISONS[operator], kind, comparable)
        case _:
            raise _refusal(
                f"{field!r} has {shown(operator)}; allowed: {', '.join(OPERATORS)}.", str(operator), OPERATORS
            )
    return Not(leaf) if operator in ("$ne", "$nin") else leaf


def _values(field: str, operator: str, value: Any) -> tuple[tuple[Kind, str | int | float], ...]:
    if not isinstance(value, list | tuple | set | frozenset) or len(value) > MAX_VALUES:
        raise _refusal(f"{field!r} has {operator} {shown(value)}; allowed: a list of up to {MAX_VALUES:,} values")
    return tuple(_value(field, inner) for inner in value)


def _value(field: str, value: Any) -> tuple[Kind, str | int | float]:
    if not isinstance(value, str | int | float | bool | None) or value != value:
        raise _refusal(f"{field!r} has {shown(value)}; allowed: text, a number, true, false, None; $in for several")
    if isinstance(value, str):
        _check_text(field, value)
    return as_row_value(value)


def _check_text(field: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _refusal(f"{field!r} has {shown(value)}, which is no valid Unicode ({error.reason})") from None


def _all(parts: "list[Filter] | tuple[Filter, ...]") -> Filter:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _refusal(message: str, name: str = "", allowed: tuple[str, ...] = ()) -> InvalidRequestError:
    return InvalidRequestError(message + (suggest(name, allowed) if name else ""), param="filter")
