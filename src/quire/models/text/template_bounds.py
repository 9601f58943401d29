"""A Jinja sandbox whose templates come to an end. Counted while a template renders:

    steps     every round of a loop and every call of a macro, a function, a filter, `~` or `[a:b]`, nested ones too: at
              most MAX_STEPS
    time      looked at with every step: at most MAX_SECONDS
    output    characters written anywhere, macros and set blocks included: at most MAX_CHARS
    values    what operators, methods and filters make: each at most MAX_CHARS characters or MAX_ITEMS items, nothing
              larger is begun (models/text/template_sizes.py); all together at most MAX_MADE

Going over one raises InvalidRequestError. Not bounded is the time of one single operation on values within the bounds,
such as a regular expression of `striptags`.

The counters belong to one rendering (`metered`), the compiled template to all: threads may render it at once.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from types import GeneratorType
from typing import Any, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from quire.models.text.template_sizes import (
    MAX_CHARS,
    check_filter,
    check_made,
    check_method,
    check_operands,
    check_printed,
    over,
)

MAX_STEPS = 500_000
MAX_SECONDS = 5.0
MAX_MADE = 1 << 29
"""Characters and items."""

_Value = TypeVar("_Value")


class _Meter:
    def __init__(self) -> None:
        self._steps_left = MAX_STEPS
        self._chars_left = MAX_CHARS
        self._made_left = MAX_MADE
        self._deadline_s = time.monotonic() + MAX_SECONDS

    def step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise over(f"takes more than {MAX_STEPS} steps")
        if time.monotonic() > self._deadline_s:
            raise over(f"takes longer than {MAX_SECONDS} s")

    def write(self, num_chars: int) -> None:
        self._chars_left -= num_chars
        if self._chars_left < 0:
            raise over(f"writes more than {MAX_CHARS} characters")

    def make(self, size: int) -> None:
        self._made_left -= size
        if self._made_left < 0:
            raise over(f"makes values of more than {MAX_MADE} characters in all")


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
        del self.globals["lipsum"]  # text without measure, for trying pages

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
        check_printed(values)
        return "".join(map(str, values))

    def cut(self, value: Any, *bounds: Any) -> Any:
        return value[slice(*bounds)]

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        # Named as in Jinja, so that a template's keyword arguments cannot meet them.
        if (meter := _METER.get()) is not None:
            meter.step()
        # The sandbox wraps str.format.
        method = getattr(__obj, "__wrapped__", __obj)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, (str, int, bytes)):
            args = tuple(map(_listed, args))
            check_method(owner, method.__name__, args, kwargs)
        return _checked(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        check_operands(operator, left, right)
        return _checked(super().call_binop(context, operator, left, right))


class _StepCounting(NodeTransformer):
    """Loops and macros count their rounds; `~` and `[a:b]` become calls."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        if node.test is not None:
            # `for x in y if z` passes over items outside of its body.
            node.test = nodes.And(_round(0, node.lineno), node.test, lineno=node.lineno)
        return self._count_rounds(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._count_rounds(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("concatenate", node.nodes, node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        bounds = (node.arg.start, node.arg.stop, node.arg.step)
        return _call("cut", [node.node, *(bound or nodes.Const(None) for bound in bounds)], node.lineno)

    def _count_rounds(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        num_chars = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_round(num_chars, node.lineno), lineno=node.lineno))
        return node


def _round(num_chars: int, line: int) -> nodes.Filter:
    return nodes.Filter(nodes.Const(num_chars), _ROUND, [], [], None, None, lineno=line)


def _call(method: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    """Of a method of the environment."""
    return nodes.Call(nodes.EnvironmentAttribute(method), arguments, [], None, None, lineno=line)


def _count_output(value: _Value) -> _Value | str:
    meter = _METER.get()
    if meter is None:
        return value
    if not isinstance(value, str):
        check_printed((value,))
    text = value if isinstance(value, str) else str(value)
    meter.write(len(text))
    return text


def _checked(value: _Value) -> _Value:
    size = check_made(value)
    if (meter := _METER.get()) is not None:
        meter.make(size)
    return value


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter with its arguments checked beforehand where they say how large the result will be, and its result."""

    @wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        if (meter := _METER.get()) is not None:
            meter.step()
        passed = 1 if hasattr(function, "jinja_pass_arg") else 0
        given = tuple(map(_listed, args[passed:]))
        check_filter(name, given, kwargs)
        return _checked(function(*args[:passed], *given, **kwargs))

    return bounded


def _listed(value: Any) -> Any:
    """What `map` and its like give bit by bit is looked at as a whole."""
    return list(value) if isinstance(value, GeneratorType) else value
