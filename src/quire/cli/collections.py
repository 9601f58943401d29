"""`quire collections`: which there are, whether they are whole, and what keeps them so."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.help import GroupedCommand, WholeGroup
from quire.errors import InvalidRequestError, QuireError

if TYPE_CHECKING:
    from quire.retrieval.collection import Collection, Damage

EXIT_DAMAGED = 1

Name = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="Its name, or a path with a /.")]
AsJson = Annotated[bool, typer.Option("--json", help="As one JSON value.")]
NoProgress = Annotated[bool, typer.Option("--progress/--no-progress", help="Say on a terminal how far it has come.")]

app = typer.Typer(cls=WholeGroup, no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def about() -> None:
    """Look after collections: what there is, verify, rebuild, snapshot, restore, delete."""


@app.command("list", cls=GroupedCommand)
def collection_list(as_json: AsJson = False) -> None:
    """List the collections that have a name."""
    from quire.retrieval.collection import collection_names

    found = [_summary(name) for name in collection_names()]
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    elif not found:
        print("There is no collection. Make one: quire index PATH --collection NAME")
    for summary in [] if as_json else found:
        told = summary.get("error") or (
            f"{counted(summary['num_documents'], 'document')}, {counted(summary['num_chunks'], 'passage')}, "
            f"{_size(summary)}"
        )
        print(f"{summary['name']:<24} {told}")


@app.command(cls=GroupedCommand)
def stats(collection: Name, as_json: AsJson = False) -> None:
    """Say what a collection holds and what it takes."""
    with _open_to_read(collection) as opened:
        found = asdict(opened.stats())
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for name, value in found.items():
        shown = _size(found) if name == "disk_bytes" else f"{value:,}" if isinstance(value, int) else value or "none"
        print(f"{name.removesuffix('_bytes'):<16} {shown}")


@app.command(cls=GroupedCommand)
def verify(collection: Name, progress: NoProgress = True, as_json: AsJson = False) -> None:
    """Read a whole collection and name what is damaged; the exit code is then 1."""
    with _open_to_read(collection) as opened:
        _tell(opened.verify(progress=progress), "All is as it was written.", as_json=as_json)


@app.command(cls=GroupedCommand)
def rebuild(
    collection: Name,
    embedder: Annotated[
        str, typer.Option(metavar="MODEL", help="For damaged vectors, as in `quire index`.")
    ] = "default",
    progress: NoProgress = True,
    as_json: AsJson = False,
) -> None:
    """Make everything again that can be made from the documents; names what cannot, with the exit code 1."""
    from quire.cli.index import open_for_writing

    _check_exists(collection)
    with open_for_writing(collection, embedder) as opened:
        _tell(opened.rebuild(progress=progress), "All is made again.", as_json=as_json)


@app.command(cls=GroupedCommand)
def snapshot(collection: Name, path: Annotated[Path, typer.Argument(help="A folder that is not there yet.")]) -> None:
    """Copy a collection as it is now, while others read and write."""
    with _open_to_read(collection) as opened:
        print(opened.snapshot(path))


@app.command(cls=GroupedCommand)
def restore(path: Annotated[Path, typer.Argument(help="The folder of a snapshot.")], collection: Name) -> None:
    """Make a new collection of a snapshot."""
    from quire.retrieval.collection import Collection

    with Collection.restore(path, collection, embedder=None) as opened:
        print(opened.path)


@app.command(cls=GroupedCommand)
def delete(collection: Name, is_sure: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete a collection with all its documents."""
    from quire.retrieval.collection import delete_collection

    if not is_sure and not sys.stdin.isatty():
        raise InvalidRequestError("nobody can be asked whether to delete it; give --yes")
    if is_sure or typer.confirm(f"Delete {collection} with all its documents?"):
        delete_collection(collection)


def counted(count: int, noun: str) -> str:
    """`1 file`, `1,024 files`."""
    return f"{count:,} {noun if count == 1 else f'{noun}s'}"


def _open_to_read(name: str) -> "Collection":
    from quire.retrieval.collection import Collection

    return Collection.open(name, embedder=None, read_only=True)


def _check_exists(name: str) -> None:
    _open_to_read(name).close()


def _summary(name: str) -> dict[str, Any]:
    try:
        with _open_to_read(name) as opened:
            return {"name": name, **asdict(opened.stats())}
    except QuireError as error:
        return {"name": name, "error": str(error)}


def _size(found: dict[str, Any]) -> str:
    return f"{found['disk_bytes'] / (1 << 20):,.1f} MiB"


def _tell(damage: "list[Damage]", well: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(found) for found in damage], ensure_ascii=False))
    else:
        print("\n".join(map(str, damage)) or well)
    if damage:
        raise typer.Exit(EXIT_DAMAGED)
