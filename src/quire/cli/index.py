"""`quire index`: files and folders into a collection, and out of it again.

`quire index PATH…` is `quire index add PATH…`. A file is a document whose id is its full path, so indexing a folder
again does only what changed.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from quire.cli.collections import AsJson, Name, NoProgress, collection_list, stats, verify
from quire.cli.help import GroupedCommand
from quire.errors import InvalidRequestError

if TYPE_CHECKING:
    from quire.retrieval.collection import Collection, Document, Written

FILES_PER_CHANGE = 64
EXIT_SKIPPED = 1

EmbedderName = Annotated[
    str,
    typer.Option(metavar="MODEL", help="Makes the vectors: a directory, a hub id, the default one, or none."),
]


class IndexGroup(TyperGroup):
    """Takes paths where a command could stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_for_add = bool(args) and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, ["add", *args] if is_for_add else args)


app = typer.Typer(cls=IndexGroup, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Put files and folders into a collection: `quire index PATH... --collection NAME`."""


@app.command(cls=GroupedCommand)
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders with all that is in them.")],
    collection: Name,
    embedder: EmbedderName = "default",
    progress: NoProgress = True,
    as_json: AsJson = False,
) -> None:
    """Index files and folders: Markdown, HTML, text, PDF and DOCX. What is unchanged costs next to nothing.

    A file that cannot be read is named and left out; the exit code is then 1.
    """
    from quire.retrieval.readers import find_files

    files = list(dict.fromkeys(path.resolve() for path in find_files(paths)))
    skipped: dict[str, str] = {}
    with open_for_writing(collection, embedder) as opened:
        written = _write(opened, files, skipped, progress=progress)
    if as_json:
        print(json.dumps({"collection": collection, **asdict(written), "skipped": skipped}, ensure_ascii=False))
    else:
        print(
            f"{collection}: {written.num_added:,} files added, {written.num_updated:,} updated, "
            f"{written.num_unchanged:,} unchanged; {written.num_chunks:,} passages indexed"
        )
        for path, why in skipped.items():
            print(f"skipped {path}: {why}", file=sys.stderr)
    if skipped:
        raise typer.Exit(EXIT_SKIPPED)


@app.command(cls=GroupedCommand)
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Files, or ids of documents added otherwise.")],
    collection: Name,
    as_json: AsJson = False,
) -> None:
    """Take documents out of a collection."""
    from quire.retrieval.collection import Collection

    with Collection.open(collection, create=False) as opened:
        count = opened.delete(each if each in opened else str(Path(each).resolve()) for each in ids)
    print(json.dumps({"num_deleted": count}) if as_json else f"{count:,} of {len(ids):,} deleted")


app.command("list", cls=GroupedCommand)(collection_list)
app.command(cls=GroupedCommand)(stats)
app.command(cls=GroupedCommand)(verify)


def open_for_writing(name: str, embedder: str) -> "Collection":
    from quire.retrieval.chunking import Chunker
    from quire.retrieval.collection import Collection

    return Collection.open(name, embedder=None if embedder == "none" else embedder, chunker=Chunker())


def _write(opened: "Collection", files: Sequence[Path], skipped: dict[str, str], *, progress: bool) -> "Written":
    from quire.observability.progress import WorkProgress
    from quire.retrieval.collection import Written

    total = Written()
    with WorkProgress("Indexing files", len(files), enabled=progress) as bar:
        for begin in range(0, len(files), FILES_PER_CHANGE):
            part = files[begin : begin + FILES_PER_CHANGE]
            done = opened.update(_documents(part, skipped), progress=False)
            total = replace(total, **{name: count + getattr(total, name) for name, count in asdict(done).items()})
            bar.advance(len(part))
    return total


def _documents(files: Iterable[Path], skipped: dict[str, str]) -> "Iterator[Document]":
    from quire.retrieval.readers import read_file

    for path in files:
        try:
            found = read_file(path)
        except InvalidRequestError as error:
            skipped[str(path)] = str(error)
        else:
            metadata = {"path": str(path), "name": path.name, "folder": str(path.parent)}
            yield {"id": str(path), "text": found.text, "kind": found.kind, "metadata": metadata}
