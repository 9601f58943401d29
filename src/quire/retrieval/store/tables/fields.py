"""Metadata as rows that can be looked up: one (field, kind, value) for every value that a document's metadata holds.

    {"lang": "en", "tags": ["a", "b"], "author": {"name": "Ada"}}

    lang         TEXT       en           a field with a list has each of its values
    tags         CONTAINER  0            and is there, even when empty
    tags         TEXT       a
    tags         TEXT       b
    author       CONTAINER  0
    author.name  TEXT       Ada          what lies deeper is named by its path

Kinds keep apart what JSON keeps apart: true is not 1, and 1 is 1.0.
"""

import json
import math
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, TypeAlias

from quire.errors import InvalidRequestError, shown

Scalar: TypeAlias = str | int | float | bool | None
Row: TypeAlias = tuple[str, int, str | int | float]

MAX_METADATA_BYTES = 65_536
MAX_INTEGER = 2**63 - 1


class Kind(IntEnum):
    NULL = 0
    BOOLEAN = 1
    NUMBER = 2
    TEXT = 3
    CONTAINER = 4


def as_row_value(value: Scalar) -> tuple[Kind, str | int | float]:
    if value is None:
        return Kind.NULL, 0
    if isinstance(value, bool):
        return Kind.BOOLEAN, int(value)
    if isinstance(value, str):
        return Kind.TEXT, value
    return Kind.NUMBER, _as_column_number(value)


def _as_column_number(value: int | float) -> int | float:
    """SQLite's whole numbers have 64 bits. What no float holds either is beyond all that there are."""
    try:
        return value if abs(value) <= MAX_INTEGER else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def flattened(metadata: dict[str, Any]) -> set[Row]:
    """The rows of checked metadata."""
    return {(path, int(kind), value) for path, kind, value in _rows_of("", metadata)}


def checked_metadata(metadata: Any, document_id: str) -> str:
    """As JSON, keys in order. Raises InvalidRequestError for what JSON cannot hold or is too large to be looked up."""
    if not isinstance(metadata, dict):
        raise InvalidRequestError(
            f"metadata of document {shown(document_id)} is {shown(metadata)}; allowed: a dict", param="metadata"
        )
    try:
        _check(metadata, "metadata")
        encoded = json.dumps(metadata, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        num_bytes = len(encoded.encode())
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"document {shown(document_id)}: {error}", param="metadata") from None
    if num_bytes > MAX_METADATA_BYTES:
        raise InvalidRequestError(
            f"metadata of document {shown(document_id)} has {num_bytes:,} bytes; allowed: up to "
            f"{MAX_METADATA_BYTES:,}; what is to be searched by words belongs into the text",
            param="metadata",
        )
    return encoded


def _check(value: Any, path: str) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or not name or name.startswith("$"):
                raise ValueError(f"{path} has the key {shown(name)}; allowed: text that does not begin with $")
            _check(inner, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, path)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{path} is {value}; allowed: finite numbers")
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError(f"{path} is {shown(value)}; allowed: whole numbers up to 2**63 - 1, or text")
    elif not isinstance(value, str | int | float | bool | None):
        raise ValueError(
            f"{path} is {shown(value)}; allowed: text, numbers, true, false, null, lists and dicts of these"
        )


def _rows_of(path: str, value: Any) -> Iterator[tuple[str, Kind, str | int | float]]:
    if isinstance(value, dict):
        if path:
            yield path, Kind.CONTAINER, 0
        for name, inner in value.items():
            yield from _rows_of(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list | tuple):
        yield path, Kind.CONTAINER, 0
        for inner in value:
            yield from _rows_of(path, inner)
    else:
        yield path, *as_row_value(value)
