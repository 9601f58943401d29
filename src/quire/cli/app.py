"""The `quire` command: its subcommands, and what becomes of an error.

A QuireError is the user's to mend: one line on stderr, exit code 2, no traceback. Anything else is ours, and shows one.
"""

import sys
from typing import Annotated, Any

import typer

import quire
from quire.cli.bench import app as bench
from quire.cli.chat import chat
from quire.cli.collections import app as collections
from quire.cli.env import env
from quire.cli.generate import generate
from quire.cli.help import GroupedCommand, WholeGroup
from quire.cli.index import app as index
from quire.cli.report import app as report
from quire.cli.search import search
from quire.cli.serve import ServeCommand, serve
from quire.errors import QuireError
from quire.observability import log

EXIT_USER_ERROR = 2


class QuireGroup(WholeGroup):
    """Turns a QuireError of any command into one line and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except QuireError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(EXIT_USER_ERROR) from error


app = typer.Typer(
    cls=QuireGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=GroupedCommand)(generate)
app.command(cls=GroupedCommand)(chat)
app.command(cls=ServeCommand)(serve)
app.command()(env)
app.add_typer(index, name="index")
app.command(cls=GroupedCommand)(search)
app.add_typer(collections, name="collections")
app.add_typer(bench, name="bench")
app.add_typer(report, name="report")


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"quire {quire.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001 (its callback acts)
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
    log_level: Annotated[str, typer.Option(metavar="|".join(log.LEVELS), help="How much to say on stderr.")] = "info",
) -> None:
    """An LLM serving engine with a library in it."""
    log.configure(log_level)
