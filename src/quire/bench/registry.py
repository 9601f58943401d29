"""Which benchmarks there are and what they can be asked, without running any of their code.

A benchmark's name, help and parameters are read from its source, so that listing them loads no torch; the module is
imported when its cases are wanted. Its `cases` takes keyword-only parameters of the types in `TYPES`, with literal
defaults.
"""

import ast
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    """One module of quire.bench that defines `cases`."""

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
    found = (_read(Path(path), name, package) for path, name in _modules(paths or list(benchmarks.__path__)))
    return {benchmark.name: benchmark for benchmark in found if benchmark is not None}


def _modules(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    for info in sorted(pkgutil.iter_modules(paths), key=lambda info: info.name):
        if not info.ispkg:
            yield str(getattr(info.module_finder, "path", paths[0])), info.name


def _read(folder: Path, name: str, package: str) -> Benchmark | None:
    tree = ast.parse((folder / f"{name}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "cases":
            help_line = (ast.get_docstring(tree) or "").partition("\n")[0]
            return Benchmark(name, f"{package}.{name}", help_line, tuple(_parameters(node.args, name)))
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
