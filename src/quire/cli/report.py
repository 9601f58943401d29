"""`quire report`: the architecture as a picture, and what was measured as a paper, as slides and as a table of claims.

Knows the options, and nothing of how any of it is made.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from quire.report.evidence import Evidence
    from quire.report.house import House
    from quire.report.paper import Byline

RESULTS = Path("benchmarks/out")
AUDIT = Path("audit")

Contract: TypeAlias = Annotated[
    Path | None, typer.Option(help="The pyproject.toml with the import contract; by default that of this checkout.")
]
Results: TypeAlias = Annotated[Path, typer.Option(help="Folder of result files, as `make bench` writes them.")]
Author: TypeAlias = Annotated[str, typer.Option(help="Who signs it.")]
Institution: TypeAlias = Annotated[str, typer.Option(help="Where they are from.")]
Date: TypeAlias = Annotated[str | None, typer.Option(help="The date on the title page; by default today's.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Draw the architecture, and write down what was measured. Works offline; needs the extra `report`."""


@app.command()
def diagram(
    output: Annotated[Path, typer.Option(help="Where to: .png (300 dpi), .svg or .pdf.")] = AUDIT / "ARCH_DIAGRAM.png",
    contract: Contract = None,
) -> None:
    """Draw the rooms, who uses whom, the core structures and what they cost."""
    from quire.report import diagram as drawing

    drawing.draw(_house(contract), output)
    print(output)


@app.command()
def paper(
    output: Annotated[Path, typer.Option(help="Where to.")] = AUDIT / "paper.docx",
    results: Results = RESULTS,
    author: Author = "The authors of Quire",
    institution: Institution = "Independent",
    date: Date = None,
    contract: Contract = None,
) -> None:
    """Write an APA paper (Word) of the design and of the results in a folder."""
    from quire.report import paper as writing

    writing.write(_evidence(results), _house(contract), output, _byline(author, institution, date))
    print(output)


@app.command()
def slides(
    output: Annotated[Path, typer.Option(help="Where to.")] = AUDIT / "slides.pptx",
    results: Results = RESULTS,
    author: Author = "The authors of Quire",
    institution: Institution = "Independent",
    date: Date = None,
    contract: Contract = None,
) -> None:
    """Write the same as slides (PowerPoint)."""
    from quire.report import slides as writing

    writing.write(_evidence(results), _house(contract), output, _byline(author, institution, date))
    print(output)


@app.command()
def claims(
    results: Results = RESULTS,
    into: Annotated[Path | None, typer.Option(help="Put it between the marks in this file.")] = None,
) -> None:
    """Print what the design promised beside what was measured, as a Markdown table."""
    from quire.report.claims import as_markdown, put_between_marks, verdicts

    table = as_markdown(verdicts(_evidence(results)))
    if into is None:
        print(table)
    else:
        put_between_marks(into, table)


def _evidence(folder: Path) -> "Evidence":
    from quire.report.evidence import Evidence

    return Evidence.load(folder)


def _house(contract: Path | None) -> "House":
    from quire.report.house import House, find_contract

    return House.read(find_contract(contract))


def _byline(author: str, institution: str, date: str | None) -> "Byline":
    from quire.report.paper import Byline

    today = datetime.now(UTC)
    return Byline(author, institution, date or f"{today:%B} {today.day}, {today.year}")
