"""How large would it be? What operators, methods and filters of a template make, judged before it is made; sizes are
characters, and ITEM_SIZE for each item of a list.

Knows the filters of Jinja and the methods of str by name, and nothing of templates. A check raises InvalidRequestError.
What is not named here makes no more than a small multiple of what printing its arguments would.
"""

import re
from collections.abc import Collection, ItemsView, KeysView, Mapping, ValuesView
from typing import Any

from jinja2.utils import Namespace

from quire.errors import InvalidRequestError

MAX_CHARS = 32 * 1024 * 1024
MAX_ITEMS = 1_000_000
MAX_INTEGER_BITS = 4096
MAX_INDENT = 1000
"""Of JSON, and digits of a rounded number."""
ITEM_SIZE = 32

_WIDE_FORMAT = re.compile(r"\d{6,}|\*|\{[^}]*\{")
_WIDTH = re.compile(r"\d+")
_WIDTH_METHODS = ("center", "ljust", "rjust", "zfill")
_WIDTH_FILTERS = ("batch", "center", "slice", "truncate")
_BYTES_METHODS = ("translate", "encode", "to_bytes")
"""Templates are text; what makes bytes, or replaces by a table, is refused."""
_SHALLOW_FILTERS = (
    *("attr", "batch", "count", "d", "default", "first", "items", "last", "length", "list", "map", "random", "reject"),
    *("rejectattr", "reverse", "select", "selectattr", "slice"),
)
"""They look at items, not into them: their arguments may be large and are not walked through each time."""
_CONTAINERS = (list, tuple, set, frozenset, ItemsView, KeysView, ValuesView)


def over(what: str) -> InvalidRequestError:
    return InvalidRequestError(f"The chat template {what}; give one that does less.", param="chat_template")


def check_made(value: Any) -> int:
    """The size of what was made."""
    if isinstance(value, (str, bytes)):
        return _checked(len(value), MAX_CHARS)
    if isinstance(value, (list, tuple, dict)):
        return _checked(len(value), MAX_ITEMS)
    return 0


def check_printed(values: Collection[Any]) -> int:
    """The size of these as text, values that lie in several lists as often as they do."""
    size, left = 0, [*values]
    while left:
        value = left.pop()
        if isinstance(value, str):
            size += len(value)
        elif inner := _inner(value):
            size += ITEM_SIZE * len(inner)
            _checked(size, MAX_CHARS)
            left += inner
    return _checked(size, MAX_CHARS)


def check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "%" and isinstance(left, str):
        _check_format(left, [right])
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        _checked(left.bit_length() * max(right, 0), MAX_INTEGER_BITS)
    elif operator == "*" and isinstance(left, int) and isinstance(right, int):
        _checked(left.bit_length() + right.bit_length(), MAX_INTEGER_BITS)
    elif operator == "*":
        many, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(many, (str, list, tuple)) and isinstance(times, int):
            _checked(len(many) * times, MAX_CHARS if isinstance(many, str) else MAX_ITEMS)


def check_method(owner: str | int | bytes, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    if name in _BYTES_METHODS or isinstance(owner, bytes):
        raise over(f"calls {name}, which has no bound")
    if not isinstance(owner, str):
        return
    given = [*args, *kwargs.values()]
    if name in _WIDTH_METHODS:
        _check_repeated(owner, 1, given[:1])
    elif name == "expandtabs":
        _check_repeated(owner, owner.count("\t"), given or [8])
    elif name in ("format", "format_map"):
        _check_format(owner, given)
    elif name == "replace" and len(args) >= 2:
        _check_repeated(owner, owner.count(args[0]), args[1:2])
    elif name == "join":
        _check_joined(owner, given)


def check_filter(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    given = [*args, *kwargs.values()]
    if name not in _SHALLOW_FILTERS:
        check_printed(given)
    if name in _WIDTH_FILTERS:
        _check_repeated("", 1, given[1:])
    elif name in ("round", "tojson"):
        for number in _numbers(given[1:]):
            _checked(number, MAX_INDENT)
    elif name == "indent":
        _check_repeated(str(args[0]), str(args[0]).count("\n") + 1, given[1:])
    elif name in ("urlize", "wordwrap"):
        _check_repeated(str(args[0]), len(str(args[0])), [each for each in given[1:] if isinstance(each, str)])
    elif name == "format":
        _check_format(str(args[0]), given[1:])
    elif name == "replace":
        named = {**dict(zip(("", "old", "new"), map(str, args), strict=False)), **kwargs}
        _check_repeated(named[""], named[""].count(named.get("old", "")), [named.get("new", "")])
    elif name == "join" and args:
        separator = args[1] if len(args) > 1 else kwargs.get("d", "")
        _check_joined(str(separator), args[:1])


def _inner(value: Any) -> list[Any]:
    """What printing it prints, where that is more than a few characters."""
    if isinstance(value, Namespace):
        value = value._Namespace__attrs  # its own attributes are those of the template
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    return [*value] if isinstance(value, _CONTAINERS) else []


def _numbers(given: Collection[Any]) -> list[int]:
    return [number for number in given if isinstance(number, int)]


def _check_repeated(text: str, times: int, given: Collection[Any]) -> None:
    """Something as long as one of those, or as wide as it says, comes into the text so many times."""
    longest = max([*_numbers(given), *(len(each) for each in given if isinstance(each, str))], default=0)
    _checked(len(text) + times * longest, MAX_CHARS)


def _check_format(form: str, given: Collection[Any]) -> None:
    if _WIDE_FORMAT.search(form):
        raise over("formats with a width of six digits or one that is computed")
    width = max(map(int, _WIDTH.findall(form)), default=0)
    _checked(len(form) + (form.count("%") + form.count("{")) * (width + check_printed(given)), MAX_CHARS)


def _check_joined(separator: str, given: Collection[Any]) -> None:
    items = sum(len(each) for each in given if hasattr(each, "__len__"))
    _checked(check_printed(given) + items * len(separator), MAX_CHARS)


def _checked(size: int, limit: int) -> int:
    if size > limit:
        raise over(f"makes a value of size {size}, more than {limit}")
    return size
