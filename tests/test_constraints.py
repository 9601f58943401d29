"""constraints.txt pins every direct dependency, once, within the range that pyproject.toml allows, and nothing else."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
BUILD_TOOLS = ("cmake>=3.24", "ninja>=1.11")
BENCHES = ROOT / "src" / "quire" / "bench"
"""Where peers are imported, if they are installed."""
DISTRIBUTIONS = {
    "docx": "python-docx",
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc-health": "grpcio-health-checking",
    "grpc-reflection": "grpcio-reflection",
    "markdown-it": "markdown-it-py",
    "opentelemetry": "opentelemetry-exporter-otlp",
    "pptx": "python-pptx",
    "stemmer": "pystemmer",
    "yaml": "pyyaml",
}
"""Of modules that are named otherwise."""


def direct_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    texts = [*project["project"]["dependencies"], *project["build-system"]["requires"], *BUILD_TOOLS]
    return [Requirement(text) for text in [*texts, *(text for extra in extras for text in extra)]]


def pins() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    names = [canonicalize_name(pin.name) for pin in found]
    assert len(names) == len(set(names)), "a package is pinned twice"
    return {name: str(pin.specifier) for name, pin in zip(names, found, strict=True)}


@pytest.mark.parametrize("requirement", direct_requirements(), ids=str)
def test_each_direct_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = pins().get(canonicalize_name(requirement.name), "")
    assert pin.startswith("=="), f"constraints.txt has no exact version of {requirement.name}"
    assert requirement.specifier.contains(pin.removeprefix("=="))


def test_nothing_is_pinned_that_nobody_asks_for() -> None:
    assert pins().keys() == {canonicalize_name(requirement.name) for requirement in direct_requirements()}


def test_torch_is_the_one_the_design_names() -> None:
    assert pins()["torch"] == "==2.13.0"


def test_the_package_imports_what_it_declares_and_declares_what_it_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["documents"], *extras["otel"], *extras["report"]]
    names = {canonicalize_name(Requirement(text).name) for text in declared}
    imported = {
        DISTRIBUTIONS.get(canonicalize_name(module), canonicalize_name(module))
        for source in (ROOT / "src" / "quire").rglob("*.py")
        if BENCHES not in source.parents
        for module in imports_of(source)
    }
    assert imported - sys.stdlib_module_names - {"quire"} == names


def imports_of(source: Path) -> set[str]:
    """The top-level names of all imports of a file, those inside functions included."""
    nodes = list(ast.walk(ast.parse(source.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    dotted = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | dotted}
