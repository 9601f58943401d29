"""The rooms as the import contract orders them, the question each answers, and who uses whom.

Read from a checkout's pyproject.toml and sources, without importing them. Knows nothing of drawing.
"""

import ast
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quire.errors import ConfigError

KINDS = {"scheduling": "schedules", "retrieval": "retrieves", "cache": "keeps KV in"}
"""What using this room is called; anything else is plain use."""
USES = "uses"


@dataclass(frozen=True, slots=True)
class Room:
    name: str
    question: str


@dataclass(frozen=True, slots=True)
class Use:
    """`user` imports `used`."""

    user: str
    used: str

    @property
    def kind(self) -> str:
        return KINDS.get(self.used, USES)


@dataclass(frozen=True, slots=True)
class House:
    layers: tuple[tuple[Room, ...], ...]
    """From the roof down: a room uses those below it only."""
    uses: frozenset[Use]

    @classmethod
    def read(cls, pyproject: Path) -> "House":
        """Raises ConfigError where there is no contract, or a room does not say what it is for."""
        package = pyproject.parent / "src" / "quire"
        names = [_names(line) for line in _contract(pyproject)]
        layers = tuple(tuple(_room(package, name) for name in layer if _source(package, name)) for layer in names)
        layers = tuple(layer for layer in layers if layer)
        rooms = [room.name for layer in layers for room in layer]
        return cls(layers, frozenset(use for room in rooms for use in _uses(package, room, rooms)))

    def needed(self) -> frozenset[Use]:
        """The uses that no chain of others implies: what is left is the shape of the house."""
        below: dict[str, set[str]] = {}
        for use in self.uses:
            below.setdefault(use.user, set()).add(use.used)
        return frozenset(
            use
            for use in self.uses
            if not any(use.used in _reached(below, other) for other in below[use.user] - {use.used})
        )


def find_contract(given: Path | None = None) -> Path:
    """The pyproject.toml that holds the contract: the one given, or that of the checkout this code lies in."""
    found = given or Path(__file__).parents[4] / "pyproject.toml"
    if not found.is_file():
        raise ConfigError(
            f"There is no import contract at {found}. Name the pyproject.toml of a checkout of Quire with --contract."
        )
    return found


def _contract(pyproject: Path) -> list[str]:
    try:
        contracts = tomllib.loads(pyproject.read_text())["tool"]["importlinter"]["contracts"]
        return [str(line) for line in contracts[0]["layers"]]
    except (KeyError, IndexError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{pyproject} has no import contract with layers: {error!r}.") from error


def _names(line: str) -> list[str]:
    """Of `llm : (client) | server`, where brackets mark what need not be there."""
    return [name.strip(" ()") for name in line.replace(":", "|").split("|")]


def _source(package: Path, room: str) -> Path | None:
    paths = (package / room / "__init__.py", package / f"{room}.py")
    return next((path for path in paths if path.is_file()), None)


def _room(package: Path, name: str) -> Room:
    source = _source(package, name)
    question = (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0] if source else ""
    if not question:
        raise ConfigError(f"The room {name} does not say what it is for; begin {source} with the question it answers.")
    return Room(name, question)


def _uses(package: Path, room: str, rooms: Iterable[str]) -> Iterator[Use]:
    source = _source(package, room)
    files = source.parent.rglob("*.py") if source and source.name == "__init__.py" else [source]
    for path in filter(None, files):
        for module in _imported(ast.parse(path.read_text())):
            used = module.split(".")[1] if module.startswith("quire.") else ""
            if used != room and used in rooms:
                yield Use(room, used)


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _reached(below: dict[str, set[str]], room: str) -> set[str]:
    found: set[str] = set()
    waiting = [room]
    while waiting:
        for used in below.get(waiting.pop(), ()):
            if used not in found:
                found.add(used)
                waiting.append(used)
    return found
