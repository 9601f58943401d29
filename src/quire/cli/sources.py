"""Values of flags from elsewhere than the command line: a YAML file, and the environment.

    --max-num-seqs 8   before   QUIRE_MAX_NUM_SEQS=8   before   max-num-seqs: 8 in --config FILE   before the default

Whatever its source, a value is read as the same text on the command line would be; nothing is constructed from YAML but
text and lists of it. In the environment, commas separate the values of a flag that takes several.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from quire.errors import ConfigError, shown, suggest

log = logging.getLogger(__name__)

PREFIX = "QUIRE_"
_NULL = "tag:yaml.org,2002:null"

Value = str | list[str]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    value: Value
    place: str
    """Where the user finds it."""


def read_sources(ctx: typer.Context, path: Path | None) -> Path | None:
    """What the flags of this command are when the command line does not say. The callback of an eager option."""
    flags = {flag.name: flag for flag in ctx.command.params if flag.name not in ("config", "help")}
    path = path or _path_in_environment()
    settings = [*(_in_file(path, flags) if path else ()), *_in_environment(os.environ, flags)]
    ctx.default_map = {setting.name: _checked(ctx, flags[setting.name], setting) for setting in settings}
    return path


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        is_eager=True,
        callback=read_sources,
        help="Flags in YAML, such as max-num-seqs: 8; the command line and QUIRE_… go before it.",
    ),
]


def _path_in_environment() -> Path | None:
    path = os.environ.get(f"{PREFIX}CONFIG")
    return Path(path) if path else None


def _in_file(path: Path, flags: Mapping[str, Any]) -> Iterator[Setting]:
    seen: dict[str, str] = {}
    for key, node in _mapping(path):
        place = f"{path}, line {key.start_mark.line + 1}"
        name = key.value.replace("-", "_")
        if name not in flags:
            known = [known.replace("_", "-") for known in flags]
            raise ConfigError(f"{place}: there is no flag {shown(key.value)}.{suggest(key.value, known)}")
        if name in seen:
            raise ConfigError(f"{place}: {key.value} stands in {seen[name]} already; give it once.")
        seen[name] = place
        yield Setting(name, _value(node, flags[name], f"{place}: {key.value}"), place)


def _mapping(path: Path) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Keys and values of the file, in order."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"The file {str(path)!r} cannot be read as YAML: {error}") from error
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode) or not all(isinstance(key, yaml.ScalarNode) for key, _ in root.value):
        raise ConfigError(f"The file {str(path)!r} is no list of flags; write lines such as max-num-seqs: 8.")
    pairs: list[tuple[yaml.ScalarNode, yaml.Node]] = root.value
    return pairs


def _value(node: yaml.Node, flag: Any, what: str) -> Value:
    items = node.value if isinstance(node, yaml.SequenceNode) and flag.multiple else [node]
    if all(isinstance(item, yaml.ScalarNode) and item.tag != _NULL for item in items):
        return [str(item.value) for item in items] if flag.multiple else str(node.value)
    allowed = "a value or a list of them" if flag.multiple else "one value"
    raise ConfigError(f"{what} cannot be read; allowed: {allowed}. Leave the line out for the default.")


def _in_environment(environment: Mapping[str, str], flags: Mapping[str, Any]) -> Iterator[Setting]:
    for variable in sorted(name for name in environment if name.startswith(PREFIX)):
        name, text = variable.removeprefix(PREFIX).lower(), environment[variable]
        if name not in flags:
            for near in get_close_matches(name, flags, n=1):
                log.warning("%s in the environment is no knob. Did you mean %s%s?", variable, PREFIX, near.upper())
        elif text:
            many = [part.strip() for part in text.split(",") if part.strip()]
            yield Setting(name, many if flags[name].multiple else text, variable)


def _checked(ctx: typer.Context, flag: Any, setting: Setting) -> Value:
    """The setting's value, if the command line would take it."""
    try:
        flag.process_value(ctx, setting.value)
    except typer.BadParameter as error:
        raise ConfigError(
            f"{setting.place}: {setting.name} is {shown(setting.value)}; {error.message.lower()}."
        ) from None
    return setting.value
