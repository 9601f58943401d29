"""Rules of the house that a program can check. CONTRIBUTING.md says why each of them is worth having."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import quire

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "quire"
MAX_LINES = 400
ROOMS = sorted(p for p in PACKAGE.iterdir() if (p.suffix == ".py" or (p / "__init__.py").exists()) and p.name[0] != "_")
UNSAFE = re.compile(r"pickle\.loads|cloudpickle|torch\.load\(|yaml\.load\(|(?<![.\w])eval\(|(?<![.\w])exec\(")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|raise NotImplemented" r"Error|pytest\.mark\.sk" r"ip\(")
HOME_OR_TEMPORARY = re.compile(r"(?<![\w.}~/])/(home|root|Users|work|tmp)/[\w.]")


def text_files(*folders: str) -> Iterator[tuple[Path, str]]:
    """The files a commit of this tree would hold, those that are text."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        try:
            yield Path(name), (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue


def places(pattern: re.Pattern[str], *folders: str, but: tuple[str, ...] = ()) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in text_files(*folders)
        if path.suffix not in but and "_generated" not in path.parts
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_public_names_exist_and_live_where_they_say() -> None:
    for name in quire.__all__:
        assert getattr(quire, name) is not None
    with pytest.raises(AttributeError, match="it has"):
        quire.no_such_name  # noqa: B018


@pytest.mark.parametrize(
    "module",
    ["quire", "quire.cache", "quire.scheduling", "quire.client.transport.rpc", "quire.cli.app", "quire.bench.harness"],
)
def test_what_needs_no_torch_loads_none(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.stem)
def test_a_room_begins_with_the_question_it_answers(room: Path) -> None:
    source = room if room.suffix == ".py" else room / "__init__.py"
    first = (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0]
    assert first.endswith("?"), f"{source.name} begins with {first!r}, which is no question"


def test_no_source_file_is_longer_than_one_idea() -> None:
    long = {
        str(path): text.count("\n") for path, text in text_files("src/*.py", "csrc") if "_generated" not in path.parts
    }
    assert {path: lines for path, lines in long.items() if lines > MAX_LINES} == {}


def test_a_native_room_holds_at_most_nine_ideas() -> None:
    ideas: defaultdict[Path, set[str]] = defaultdict(set)
    for path, _ in text_files("csrc"):
        ideas[path.parent].add(re.sub(r"_(avx2|avx512|portable)$", "", path.name.partition(".")[0]))
    assert {str(room): sorted(names) for room, names in ideas.items() if len(names) > 9} == {}


def test_native_rooms_include_each_other_one_way_and_only_bindings_know_python() -> None:
    included: defaultdict[str, set[str]] = defaultdict(set)
    for path, text in text_files("csrc"):
        room = path.relative_to("csrc").parent
        rooms = {Path(name).parent for name in re.findall(r'#include "(.+)"', text)}
        included[str(room)] |= {str(other) for other in rooms - {room}}
        assert room.parts[:1] == ("bindings",) or "nanobind" not in text, path
    TopologicalSorter(included).prepare()  # a CycleError names the rooms


def test_nothing_that_runs_what_it_reads() -> None:
    assert places(UNSAFE, "src/*.py") == []


def test_nothing_is_left_unfinished_or_skipped() -> None:
    assert places(UNFINISHED, "src", "csrc", "tests") == []


def test_no_path_of_one_machine() -> None:
    assert places(HOME_OR_TEMPORARY) == []
