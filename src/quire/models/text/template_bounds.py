"""A Jinja sandbox whose templates come to an end. Counted while a template renders:

    steps     every round of a loop and every call of a macro, a function or `~`, nested ones too: at most MAX_STEPS
    time      looked at with every step: at most MAX_SECONDS
    output    characters written anywhere, macros and set blocks included: at most MAX_CHARS
    values    what `+` `~` `*` `**` `%`, methods and filters make: at most MAX_CHARS characters, MAX_ITEMS items, and
              nothing that would be larger is begun

Going over one raises InvalidRequestError. Not bounded is the time of one single operation on values within the bounds,
such as printing a list that holds another list many times over.

The counters belong to one rendering (`metered`), the compiled template to all: threads may render it at once.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from quire.errors import InvalidRequestError

MAX_STEPS = 500_000
MAX_SECONDS = 5.0
MAX_CHARS = 32 * 1024 * 1024
MAX_ITEMS = 1_000_000
MAX_INTEGER_BITS = 4096

_WIDE_FORMAT = re.compile(r"\d{6,}|\*|\{[^}]*\{")
_WIDTH_FILTERS = ("center", "indent", "batch", "slice", "wordwrap", "truncate")
_WIDTH_METHODS = ("center", "ljust", "rjust", "zfill", "expandtabs")

_Value = TypeVar("_Value")


class _Meter:
    def __init__(self) -> None:
        self._steps_left = MAX_STEPS
        self._chars_left = MAX_CHARS
        self._deadline_s = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise _over(f"takes more than {MAX_STEPS} steps")
        if time.monotonic() > self._deadline_s:
            raise _over(f"takes longer than {MAX_SECONDS} s")

    def write(self, num_chars: int) -> None:
        self._chars_left -= num_chars
        if self._chars_left < 0:
            raise _over(f"writes more than {MAX_CHARS} characters")


_METER: ContextVar[_Meter | None] = ContextVar("meter", default=None)
_ROUND = "begin round"
"""The name of a filter that no template can spell. A filter is called without the cost of the sandbox."""


@jinja2.pass_context  # so that it is not computed when the template is compiled
def _begin_round(_: Context, num_chars: int) -> bool:
    """One round of a loop, one run of a macro, whose own text has `num_chars` characters; true, as a condition."""
    if (meter := _METER.get()) is not None:
        meter.step()
        meter.write(num_chars)
    return True


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=_count_output, **options)
        self.filters = {name: _bounded_filter(name, function) for name, function in self.filters.items()}
        self.filters[_ROUND] = _begin_round

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        self.filters[name] = _bounded_filter(name, function)

    def bounded_template(self, source: str) -> jinja2.Template:
        tree = _StepCounting().visit(self.parse(source))
        return self.template_class.from_code(self, self.compile(tree), self.make_globals(None))

    @contextmanager
    def metered(self) -> Iterator[None]:
        token = _METER.set(_Meter())
        try:
            yield
        finally:
            _METER.reset(token)

    def concatenate(self, *values: Any) -> str:
        texts = [str(value) for value in values]
        _check_size(sum(map(len, texts)), MAX_CHARS)
        return "".join(texts)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        # Named as in Jinja, so that a template's keyword arguments cannot meet them.
        if (meter := _METER.get()) is not None:
            meter.step()
        # The sandbox wraps str.format.
        method = getattr(__obj, "__wrapped__", __obj)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str):
            _check_method(owner, method.__name__, args)
        return _checked(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        _check_operands(operator, left, right)
        return _checked(super().call_binop(context, operator, left, right))


class _StepCounting(NodeTransformer):
    """Loops and macros count their rounds, and `~` becomes a call."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.test is not None:
            # `for x in y if z` passes over items outside of its body.
            node.test = nodes.And(_round(0, node.lineno), node.test, lineno=node.lineno)
        return self._count_rounds(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._count_rounds(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        method = nodes.EnvironmentAttribute("concatenate")
        return nodes.Call(method, node.nodes, [], None, None, lineno=node.lineno)

    def _count_rounds(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        num_chars = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_round(num_chars, node.lineno), lineno=node.lineno))
        return node


def _round(num_chars: int, line: int) -> nodes.Filter:
    return nodes.Filter(nodes.Const(num_chars), _ROUND, [], [], None, None, lineno=line)


def _over(what: str) -> InvalidRequestError:
    return InvalidRequestError(f"The chat template {what}; give one that does less.", param="chat_template")


def _count_output(value: _Value) -> _Value | str:
    meter = _METER.get()
    if meter is None:
        return value
    text = value if isinstance(value, str) else str(value)
    meter.write(len(text))
    return text


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise _over(f"makes a value of size {size}, more than {limit}")


def _checked(value: _Value) -> _Value:
    if isinstance(value, str):
        _check_size(len(value), MAX_CHARS)
    elif isinstance(value, (list, tuple, dict)):
        _check_size(len(value), MAX_ITEMS)
    return value


def _check_operands(operator: str, left: Any, right: Any) -> None:
    if operator == "%" and isinstance(left, str):
        _check_format(left)
    elif operator == "**" and isinstance(left, int) and isinstance(right, int):
        _check_size(left.bit_length() * max(right, 0), MAX_INTEGER_BITS)
    elif operator == "*" and isinstance(left, int) and isinstance(right, int):
        _check_size(left.bit_length() + right.bit_length(), MAX_INTEGER_BITS)
    elif operator == "*":
        many, times = (right, left) if isinstance(left, int) else (left, right)
        if isinstance(many, (str, list, tuple)) and isinstance(times, int):
            _check_size(len(many) * times, MAX_CHARS if isinstance(many, str) else MAX_ITEMS)


def _check_method(text: str, name: str, args: tuple[Any, ...]) -> None:
    if name in _WIDTH_METHODS:
        _check_widths(args)
    elif name in ("format", "format_map"):
        _check_format(text)
    elif name == "replace" and len(args) >= 2:
        _check_size(len(text) + text.count(args[0]) * len(args[1]), MAX_CHARS)
    elif name == "join" and args and isinstance(args[0], (list, tuple)):
        _check_joined(args[0], text)
    elif name == "translate":
        raise _over("calls translate, which has no bound")


def _check_widths(args: tuple[Any, ...]) -> None:
    for arg in args:
        if isinstance(arg, int):
            _check_size(arg, MAX_CHARS)


def _check_format(form: str) -> None:
    if _WIDE_FORMAT.search(form):
        raise _over("formats with a width of six digits or one that is computed")


def _check_joined(items: list[Any] | tuple[Any, ...], separator: str) -> None:
    _check_size(sum(len(item) for item in items if isinstance(item, str)) + len(items) * len(separator), MAX_CHARS)


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with its arguments checked beforehand where they say how large the result will be, and its result."""

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        passed = 1 if hasattr(function, "jinja_pass_arg") else 0
        _check_filter(name, args[passed:], kwargs)
        return _checked(function(*args, **kwargs))

    return bounded


def _check_filter(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    given = (*args, *kwargs.values())
    if name in _WIDTH_FILTERS:
        _check_widths(given[1:])
    elif name == "format":
        _check_format(str(args[0]))
    elif name == "replace" and len(args) >= 3:
        _check_method(str(args[0]), "replace", (str(args[1]), str(args[2])))
    elif name == "join" and isinstance(args[0], (list, tuple)):
        separator = args[1] if len(args) > 1 else kwargs.get("d", "")
        _check_joined(args[0], str(separator))
    elif name == "tojson" and isinstance(given[-1], int) and len(given) > 1:
        _check_widths(given[1:])
