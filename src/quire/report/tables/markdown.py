"""Tables as Markdown, and their places in pages: between `<!-- name -->` and `<!-- /name -->`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from quire.errors import ConfigError


def as_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def put_between_marks(path: Path, text: str, name: str) -> None:
    """Replaces what stands between the marks of that name in the file."""
    first, last = f"<!-- {name} -->", f"<!-- /{name} -->"
    try:
        page = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    head, found, rest = page.partition(first)
    _, closed, tail = rest.partition(last)
    if not (found and closed):
        raise ConfigError(f"{path} has no place for the table; write {first} and {last} where it is to stand.")
    path.write_text(f"{head}{first}\n{text}\n{last}{tail}")
