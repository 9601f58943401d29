"""`quire report`: the architecture as a picture, and what was measured as a paper, as slides and as tables.

Knows the options, and nothing of how any of it is made.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from quire.cli.help import WholeGroup
from quire.cli.writing import writing
from quire.errors import ConfigError

if TYPE_CHECKING:
    from quire.report.architecture.house import House
    from quire.report.documents.paper import Byline
    from quire.report.evidence import Evidence

RESULTS = Path("benchmarks/out")
AUDIT = Path("audit")

Contract: TypeAlias = Annotated[
    Path | None, typer.Option(help="The pyproject.toml with the import contract; by default that of this checkout.")
]
Results: TypeAlias = Annotated[Path, typer.Option(help="Folder of result files, as `make bench` writes them.")]
Author: TypeAlias = Annotated[str, typer.Option(help="Who signs it.")]
Institution: TypeAlias = Annotated[str, typer.Option(help="Where they are from.")]
Into: TypeAlias = Annotated[
    Path | None, typer.Option(help="Put it between the marks in this file, `<!-- NAME -->` and `<!-- /NAME -->`.")
]
Date: TypeAlias = Annotated[str | None, typer.Option(help="The date on the title page; by default today's.")]

app = typer.Typer(cls=WholeGroup, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Draw the architecture, and write down what was measured. Works offline; needs the extra `report`."""


@app.command()
def diagram(
    output: Annotated[Path, typer.Option(help="Where to: .png (300 dpi), .svg or .pdf.")] = AUDIT / "ARCH_DIAGRAM.png",
    contract: Contract = None,
) -> None:
    """Draw the rooms, who uses whom, the core structures and what they cost."""
    from quire.report.architecture import diagram as drawing

    house = _house(contract)
    with writing(output):
        drawing.draw(house, output)
    print(output)


def _document(kind: str, default: Path, help_line: str) -> None:
    def command(
        output: Annotated[Path, typer.Option(help="Where to.")] = default,
        results: Results = RESULTS,
        author: Author = "The authors of Quire",
        institution: Institution = "Independent",
        date: Date = None,
        contract: Contract = None,
    ) -> None:
        from quire.report.documents import paper, slides

        write = {"paper": paper.write, "slides": slides.write}[kind]
        evidence, house = _evidence(results), _house(contract)
        with writing(output):
            write(evidence, house, output, _byline(author, institution, date))
        print(output)

    app.command(kind, help=help_line)(command)


_document("paper", AUDIT / "paper.docx", "Write an APA paper (Word) of the design and of the results in a folder.")
_document("slides", AUDIT / "slides.pptx", "Write the same as slides (PowerPoint).")


@app.command()
def claims(
    results: Results = RESULTS,
    into: Into = None,
) -> None:
    """Print what the design promised beside what was measured, as a Markdown table."""
    from quire.report.tables.claims import as_markdown, verdicts

    _put(as_markdown(verdicts(_evidence(results))), into, "claims")


@app.command()
def numbers(results: Results = RESULTS, into: Into = None) -> None:
    """Print what a user would ask first, with the command that measures it, as a Markdown table."""
    from quire.report.tables.numbers import as_markdown

    _put(as_markdown(_evidence(results)), into, "numbers")


@app.command()
def beside(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="What --json or benchmarks/peers.py wrote.")],
    into: Into = None,
) -> None:
    """Print several result files as one Markdown table: a row per metric, a column per side, ours and the peers'."""
    from quire.bench.results import Report
    from quire.report.tables.beside import as_markdown

    try:
        reports = [Report.load(path) for path in files]
    except (OSError, ValueError) as error:
        raise ConfigError(str(error)) from error
    _put(as_markdown(reports), into, "beside")


def _put(table: str, into: Path | None, name: str) -> None:
    from quire.report.tables.markdown import put_between_marks

    if into is None:
        print(table)
    else:
        with writing(into):
            put_between_marks(into, table, name)


def _evidence(folder: Path) -> "Evidence":
    from quire.report.evidence import Evidence

    return Evidence.load(folder)


def _house(contract: Path | None) -> "House":
    from quire.report.architecture.house import House, find_contract

    return House.read(find_contract(contract))


def _byline(author: str, institution: str, date: str | None) -> "Byline":
    from quire.report.documents.paper import Byline

    today = datetime.now(UTC)
    return Byline(author, institution, date or f"{today:%B} {today.day}, {today.year}")
