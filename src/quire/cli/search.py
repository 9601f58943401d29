"""`quire search`: the passages of a collection that answer a question, with their sources."""

import json
import shutil
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quire.cli.collections import AsJson, Name
from quire.errors import InvalidRequestError, shown

if TYPE_CHECKING:
    from quire.retrieval.collection import Hit

MAX_LINES = 4
"""Of a passage; --json has all of it."""


def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A question, or words.")],
    collection: Name,
    mode: Annotated[
        str | None,
        typer.Option(metavar="hybrid|dense|lexical", help="By meaning, by words, or both, the default."),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many passages.")] = 10,
    given_filter: Annotated[
        str | None, typer.Option("--filter", metavar="JSON", help='On metadata, such as {"year": {"$gte": 2020}}.')
    ] = None,
    fusion: Annotated[str, typer.Option(metavar="rrf|weighted|dbsf", help="How the two rankings become one.")] = "rrf",
    embedder: Annotated[str, typer.Option(metavar="MODEL", help="As in `quire index`.")] = "default",
    as_json: AsJson = False,
) -> None:
    """Search a collection by meaning and by words."""
    from quire.retrieval.collection import Collection

    tree = _as_filter(given_filter)
    model = None if embedder == "none" else embedder
    with Collection.open(collection, read_only=True, embedder=model) as opened:
        hits = opened.search(query, k, mode=mode, filter=tree, fusion=fusion)  # type: ignore[arg-type]
    if as_json:
        print(json.dumps([asdict(hit) for hit in hits], ensure_ascii=False))
    elif not hits:
        print("Nothing found.")
    for rank, hit in enumerate([] if as_json else hits, 1):
        print(_readable(rank, hit))


def _as_filter(given: str | None) -> Any:
    try:
        return None if given is None else json.loads(given)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f'filter is {shown(given)}; allowed: JSON such as {{"lang": "en"}} ({error})', param="filter"
        ) from None


def _readable(rank: int, hit: "Hit") -> str:
    width = max(40, min(shutil.get_terminal_size().columns, 120))
    parts = ", ".join(f"{name} #{part.rank} ({part.score:.3f})" for name, part in hit.parts.items())
    heading = f" › {hit.heading}" if hit.heading else ""
    passage = textwrap.wrap(" ".join(hit.text.split()), width - 4, max_lines=MAX_LINES, placeholder=" …")
    return "\n".join([f"{rank}. {hit.document_id}{heading}", f"    {parts}", *(f"    {line}" for line in passage)])
