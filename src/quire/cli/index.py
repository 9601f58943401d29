"""`quire index`: files and folders into a collection, and out of it again.

`quire index PATH…` is `quire index add PATH…`. A file is a document whose id is its full path, so indexing a folder
again does only what changed, and documents whose file is not there any more can be told from others.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.collections import AsJson, Name, NoProgress, collection_list, counted, stats, verify
from quire.cli.help import GroupedCommand, WholeGroup
from quire.errors import ConfigError, InvalidRequestError

if TYPE_CHECKING:
    from quire.retrieval.collection import Collection, Document, Written

FILES_PER_CHANGE = 64
EXIT_SKIPPED = 1

EmbedderName = Annotated[
    str,
    typer.Option(metavar="MODEL", help="Makes the vectors: a directory, a hub id, the default one, or none."),
]


class IndexGroup(WholeGroup):
    """Takes paths where a command could stand."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_for_add = bool(args) and args[0] not in {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, ["add", *args] if is_for_add else args)


app = typer.Typer(cls=IndexGroup, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Put files and folders into a collection: `quire index PATH… --collection NAME`."""


@app.command(cls=GroupedCommand)
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH", help="Files, or folders with all that is in them.")],
    collection: Name,
    embedder: EmbedderName = "default",
    is_pruning: Annotated[bool, typer.Option("--prune", help="Then delete documents whose file is gone.")] = False,
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
        deleted = {"num_deleted": opened.delete(without_file(opened))} if is_pruning else {}
    if as_json:
        told = {"collection": collection, **asdict(written), **deleted, "skipped": skipped}
        print(json.dumps(told, ensure_ascii=False))
    else:
        print(
            f"{collection}: {counted(written.num_added, 'file')} added, {written.num_updated:,} updated, "
            f"{written.num_unchanged:,} unchanged; {counted(written.num_chunks, 'passage')} indexed"
            + "".join(f"; {counted(count, 'document')} without a file deleted" for count in deleted.values())
        )
        for why in skipped.values():
            print(f"skipped: {why}", file=sys.stderr)
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


@app.command(cls=GroupedCommand)
def prune(
    collection: Name,
    is_dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the documents whose file is not there any more, and name them."""
    from quire.retrieval.collection import Collection

    with Collection.open(collection, create=False, embedder=None, read_only=is_dry_run) as opened:
        gone = without_file(opened)
        if not is_dry_run:
            opened.delete(gone)
    if as_json:
        print(json.dumps({"num_deleted": 0 if is_dry_run else len(gone), "without_file": gone}, ensure_ascii=False))
    else:
        said = "would be deleted" if is_dry_run else "deleted"
        print(*gone, f"{counted(len(gone), 'document')} without a file {said}", sep="\n")


app.command("list", cls=GroupedCommand)(collection_list)
app.command(cls=GroupedCommand)(stats)
app.command(cls=GroupedCommand)(verify)


def open_for_writing(name: str, embedder: str) -> "Collection":
    from quire.retrieval.chunking import Chunker
    from quire.retrieval.collection import Collection

    return Collection.open(name, embedder=None if embedder == "none" else embedder, chunker=Chunker())


def without_file(opened: "Collection") -> list[str]:
    """The ids of documents that were files and are none any more; documents that were added otherwise stay."""
    gone = (each for each in opened.ids() if Path(each).is_absolute() and not Path(each).exists())
    return [each for each in gone if (document := opened.get(each)) and _metadata(Path(each)) == document["metadata"]]


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
        except (InvalidRequestError, ConfigError) as error:  # a package that reads it may not be there
            skipped[str(path)] = str(error)
        else:
            yield {"id": str(path), "text": found.text, "kind": found.kind, "metadata": _metadata(path)}


def _metadata(path: Path) -> dict[str, Any]:
    return {"path": str(path), "name": path.name, "folder": str(path.parent)}
