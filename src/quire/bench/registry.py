"""Which benchmarks there are and what they can be asked, without running any of their code.

A benchmark's name, help and parameters are read from its source, so that listing them loads no torch; the module is
imported when its cases are wanted. Its `cases` takes keyword-only parameters of the types in `TYPES`, with literal
defaults.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quire.bench as benchmarks
from quire.errors import ConfigError

if TYPE_CHECKING:
    from quire.bench.harness import Case

TYPES: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "tuple[int, ...]": tuple[int, ...]}


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: Any
    default: Any


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One module under quire.bench that defines `cases`."""

    name: str
    module: str
    help: str
    """The first line of its docstring."""
    parameters: tuple[Parameter, ...]

    def cases(self, arguments: Mapping[str, Any]) -> "list[Case]":
        """Imports the module and asks it for its cases."""
        found: list[Case] = import_module(self.module).cases(**arguments)
        return found

    def explain(self, report: object) -> str:
        """What bounds the number, where the module knows."""
        explain = getattr(import_module(self.module), "explain", None)
        return "" if explain is None else str(explain(report))

    def plot(self, report: object, path: Path) -> bool:
        """Draws the report into the PNG file `path`; False where the module has nothing to draw."""
        plot = getattr(import_module(self.module), "plot", None)
        if plot is not None:
            plot(report, path)
        return plot is not None


def find_benchmarks(paths: Sequence[str] | None = None, package: str = "quire.bench") -> dict[str, Benchmark]:
    """All benchmarks by name, in the order of their names; `paths` are the folders to look in."""
    modules = _modules([Path(path) for path in paths or benchmarks.__path__], package)
    found = (_read(path, module) for path, module in modules)
    return {benchmark.name: benchmark for benchmark in sorted(filter(None, found), key=lambda found: found.name)}


def _modules(folders: Iterable[Path], package: str) -> Iterator[tuple[Path, str]]:
    """The modules in the folders, and in the packages in them."""
    for path in (path for folder in folders for path in folder.iterdir()):
        if path.suffix == ".py":
            yield path, f"{package}.{path.stem}"
        elif (path / "__init__.py").exists():
            yield from _modules([path], f"{package}.{path.name}")


@cache
def _read(path: Path, module: str) -> Benchmark | None:
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "cases":
            help_line = (ast.get_docstring(tree) or "").partition("\n")[0]
            return Benchmark(path.stem, module, help_line, tuple(_parameters(node.args, path.stem)))
    return None


def _parameters(arguments: ast.arguments, benchmark: str) -> Iterator[Parameter]:
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        annotation = ast.unparse(argument.annotation) if argument.annotation else "none"
        if annotation not in TYPES or default is None:
            raise ConfigError(
                f"parameter {argument.arg!r} of benchmark {benchmark!r} has type {annotation}; "
                f"allowed: {', '.join(TYPES)}, each with a literal default."
            )
        yield Parameter(argument.arg, TYPES[annotation], ast.literal_eval(default))
