"""The pages tell the truth: examples run, commands exist, tables are those of the fields, links lead somewhere, and
ARCHITECTURE.md has every room with its own question."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from quire.cli.app import app
from tools import knob_tables

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
NAMED_COMMAND = re.compile(r"`quire ([a-z_]+(?: [a-z][a-z0-9_]*)?)")


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def commands(page: Path) -> list[str]:
    """What a reader is told to type, without the `$ `."""
    return [line[2:] for text in blocks(page, "console") for line in text.splitlines() if line.startswith("$ ")]


def with_(pages: list[Path], language: str) -> list[Path]:
    return [page for page in pages if blocks(page, language)]


@pytest.mark.parametrize("page", with_(PAGES, "python"), ids=lambda page: page.name)
def test_the_python_of_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    program = "\n".join(blocks(page, "python"))
    exec(compile(program, page.name, "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out.splitlines()
    for expected in re.findall(r"print\(error\)  # (.+)", program):
        assert expected in printed


@pytest.mark.parametrize("page", with_(PAGES, "console"), ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("Once upon a time")
    for line in commands(page):
        done = typed(line)
        assert done.exit_code == 0, f"{line}\n{done.output}"


def typed(line: str) -> Result:
    """What a shell does with `quire WORDS` and with `echo WORDS | quire WORDS`, in this process."""
    words = shlex.split(line)
    said = words[: words.index("|")] if "|" in words else []
    program, *arguments = words[len(said) + bool(said) :]
    assert (said[:1], program) in (([], "quire"), (["echo"], "quire")), line
    return CliRunner().invoke(app, ["--log-level", "error", *arguments], input=" ".join(said[1:]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    for words in NAMED_COMMAND.findall(page.read_text()):
        assert exists(*words.split()[: 2 if words.startswith("bench ") else 1]), f"{page.name} names `quire {words}`"


@cache
def exists(*words: str) -> bool:
    return CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_has_a_section() -> None:
    listed = CliRunner().invoke(app, ["--help"]).output.partition("Commands:")[2]
    names = re.findall(r"^  (\w+)", listed, re.MULTILINE)
    page = (ROOT / "docs" / "cli.md").read_text()
    assert [name for name in names if f"## quire {name}\n" not in page] == []


@pytest.mark.parametrize("page", knob_tables.PAGES, ids=lambda page: page.name)
def test_the_tables_of_knobs_are_those_of_the_fields(page: Path) -> None:
    assert page.read_text() == knob_tables.filled(page.read_text()), "run `make stubs`"


def test_the_architecture_has_every_room_with_the_question_its_first_line_asks() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)`(?: \\\|)? \| ([^|]+\?) \|", page, re.MULTILINE))
    package = ROOT / "src" / "quire"
    sources = [*package.glob("[!_]*.py"), *package.glob("[!_]*/__init__.py")]
    asked = {
        (source.parent.name if source.name == "__init__.py" else source.stem): (
            ast.get_docstring(ast.parse(source.read_text())) or ""
        ).partition("\n")[0]
        for source in sources
    }
    assert rows == asked
