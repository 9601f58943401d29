"""Command-line flags out of dataclass fields: name, type, default and help are the field's own.

    @with_flags(sampling=SamplingParams, engine=EngineConfig)
    def generate(prompts: …, *, sampling: dict[str, Any], engine: dict[str, Any]) -> None: …

The command receives, per group, only what was given on the command line, under the field's name, so defaults and checks
stay with the dataclass. Where two groups have a field of one name, the later group's flag is prefixed with the group.
Knows nothing of what the fields mean.
"""

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache, wraps
from typing import Annotated, Any

import typer

from quire.errors import ConfigError, shown

SCALARS = (bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Flag:
    """One command-line option and the way to its field."""

    name: str
    """The parameter's name; dashes for underscores make the option."""
    path: tuple[str, ...]
    """Group, field, and the field of a nested dataclass where there is one."""
    type: Any
    help: str
    shape: str | None
    """How the help page shows what it takes."""
    default: str
    choices: tuple[str, ...]
    parse: Callable[[Any], Any]
    section: str
    """The heading of the help page that it stands under."""
    aliases: tuple[str, ...] = ()

    @property
    def parameter(self) -> inspect.Parameter:
        default = f"  [default: {self.default}]" if self.default else ""
        option = typer.Option(
            *self._spellings,
            help=self.help + default,
            metavar="|".join(self.choices) or self.shape,
            rich_help_panel=self.section,
        )
        return option_parameter(self.name, self.type | None, None, option)

    @property
    def _spellings(self) -> tuple[str, ...]:
        name = self.name.replace("_", "-")
        return (f"--{name}/--no-{name}" if self.type is bool else f"--{name}", *self.aliases)


def option_parameter(name: str, kind: Any, default: Any, option: Any) -> inspect.Parameter:
    """A parameter that typer reads as an option of this type and default."""
    annotation: Any = Annotated
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation[kind, option])


def with_parameters(function: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """`function`, which for those who read its signature now takes these parameters."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    return function


def with_flags(**groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The command takes a dict per group; on the command line it takes a flag per field."""
    flags = [flag for group, cls in groups.items() for flag in flags_of(cls, group)]
    flags = _without_collisions(flags)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*args: Any, **kwargs: Any) -> None:
            values = {flag: kwargs.pop(flag.name) for flag in flags}
            command(*args, **kwargs, **_by_group(groups, values))

        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name not in groups]
        return with_parameters(run, [*own, *(flag.parameter for flag in flags)])

    return decorate


def flags_of(cls: type, group: str) -> list[Flag]:
    """A flag per field that can be set; a nested dataclass gives one per field of its own. A field whose metadata has a
    `section` opens a heading of the help page, which holds until the next one."""
    found, section = [], group.capitalize()
    for field in fields(cls):
        section = field.metadata.get("section") or section
        if field.init:
            found += [replace(flag, section=section) for flag in _flags_of_field(cls, field, (group,))]
    return found


@cache
def help_of(cls: type) -> dict[str, str]:
    """Help by field: its `help` metadata, or the string that stands below the field in the source."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found = {field.name: str(field.metadata.get("help", "")) for field in fields(cls)}
    for node, following in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_text(following):
            found[node.target.id] = inspect.cleandoc(ast.literal_eval(typing.cast(ast.Expr, following).value))
    return found


def _flags_of_field(cls: type, field: "Field[Any]", path: tuple[str, ...]) -> list[Flag]:
    hint = typing.get_type_hints(cls)[field.name]
    here = (*path, field.name)
    nested = _nested_class(hint)
    if nested is not None:
        return [flag for inner in fields(nested) for flag in _flags_of_field(nested, inner, here)]
    flag_type, shape, parse = _flag_type(hint, field.default)
    return [
        Flag(
            name="_".join(here[1:]),
            path=here,
            type=flag_type,
            help=help_of(cls)[field.name],
            shape=shape,
            default=_shown_default(field),
            choices=field.metadata.get("choices") or (),
            parse=parse,
            section="",
            aliases=field.metadata.get("aliases") or (),
        )
    ]


def _alternatives(hint: Any) -> list[Any]:
    """The types a value of this hint may have, None aside."""
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    parts = typing.get_args(hint) if is_union else (hint,)
    return [part for part in parts if part is not types.NoneType]


def _flag_type(hint: Any, default: Any) -> tuple[Any, str | None, Callable[[Any], Any]]:
    """What the option takes, how that is shown, and how the field's value is made of it. Sequences are repeated
    options; where None means something and is not the default, the word `none` says it."""
    parts = _alternatives(hint)
    for part in parts:
        origin, arguments = typing.get_origin(part), typing.get_args(part)
        if origin is not None and issubclass(origin, Mapping) and arguments == (int, float):
            return list[str], "ID=NUMBER ...", _parse_pairs
        if origin is not None and issubclass(origin, Sequence):
            return list[arguments[0]], f"<{arguments[0].__name__}> ...", list  # type: ignore[valid-type]
    scalar = next((part for part in parts if part in SCALARS), None)
    if scalar is None:
        raise TypeError(f"no flag can be made for the type {hint!r}")
    if default is not None and len(parts) < len(typing.get_args(hint)):
        return str, f"<{scalar.__name__}>|none", lambda text: _parse_unless_none(scalar, text)
    return scalar, None, lambda value: value


def _parse_unless_none(scalar: Callable[[str], Any], text: str) -> Any:
    try:
        return None if text.lower() == "none" else scalar(text)
    except ValueError:
        raise ConfigError(f"{shown(text)} is not a number; allowed: a number, or none.") from None


def _parse_pairs(texts: list[str]) -> dict[int, float]:
    try:
        return {int(token_id): float(number) for token_id, number in (text.split("=") for text in texts)}
    except ValueError:
        raise ConfigError(
            f"{shown(texts)} is not a list of pairs; write each as TOKEN_ID=NUMBER, like 42=-5."
        ) from None


def _shown_default(field: "Field[Any]") -> str:
    return "" if field.default is False or field.default in (None, MISSING, ()) else str(field.default)


def _without_collisions(flags: list[Flag]) -> list[Flag]:
    taken: dict[str, Flag] = {}
    for flag in flags:
        name = flag.name if flag.name not in taken else f"{flag.path[0]}_{flag.name}"
        assert name not in taken, f"two flags want the name {name}"
        taken[name] = replace(flag, name=name)
    return list(taken.values())


def _by_group(groups: Mapping[str, type], values: Mapping[Flag, Any]) -> dict[str, dict[str, Any]]:
    """What was given, as keyword arguments per group; a nested dataclass is made from its own part."""
    found: dict[str, dict[str, Any]] = {group: {} for group in groups}
    nested: dict[tuple[str, str], dict[str, Any]] = {}
    for flag, value in values.items():
        if value is None or value == []:
            continue
        group, name, *rest = flag.path
        target = nested.setdefault((group, name), {}) if rest else found[group]
        try:
            target[rest[0] if rest else name] = flag.parse(value)
        except ConfigError as error:
            raise ConfigError(f"--{flag.name.replace('_', '-')}: {error}") from None
    for (group, name), arguments in nested.items():
        nested_class = _nested_class(typing.get_type_hints(groups[group])[name])
        assert nested_class is not None
        found[group][name] = nested_class(**arguments)
    return found


def _nested_class(hint: Any) -> type | None:
    return next((part for part in _alternatives(hint) if isinstance(part, type) and is_dataclass(part)), None)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
