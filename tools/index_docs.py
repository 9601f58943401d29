"""Makes Quire's own pages a collection that chats can ask: `python tools/index_docs.py DIR`, as `make run` does.

A document is a section of a page, or a part of one that is long, as plain text: a small model reads little at a time,
and no markup. What did not change is not indexed again, so a second run costs next to nothing.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from quire import Collection
from quire.errors import ModelLoadError
from quire.retrieval.collection import Document

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
PART_CHARS, LABELLED_WORDS = 300, 3
BREAK = re.compile(r"\n(?=\n|- )")
LINK, EMPHASIS = re.compile(r"\[([^]]+)\]\([^)]+\)"), re.compile(r"\*\*|`")
TABLE = re.compile(r"^\|(.+)\|\n\|[ :|-]+\|\n((?:\|.+\|\n)+)", re.MULTILINE)
CELL_END, ITEM = re.compile(r"(?<!\\)\|"), re.compile(r"^- ", re.MULTILINE)
NOT_PROSE = re.compile(r"^```.*?^```\n|^<!--.*?-->\n", re.DOTALL | re.MULTILINE)


def sections(page: Path) -> Iterator[Document]:
    """Without programs, which a question in words does not ask for; tables are lists."""
    text = TABLE.sub(items, NOT_PROSE.sub("", page.read_text(encoding="utf-8") + "\n"))
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        for number, part in enumerate(parts(text[heading.end() : end].strip())):
            name = f"{page.relative_to(ROOT)}#{heading[1]}" + (f" ({number + 1})" if number else "")
            yield {"id": name, "text": f"{heading[1]}: {plain(part)}", "metadata": {"page": page.name}}


def items(table: re.Match[str]) -> str:
    """A sentence for each row of a table, as an item of a list."""
    _, *labels = cells(table[1])
    rows = (cells(row[1:-1]) for row in table[2].splitlines())
    return "".join(f"- {sentence(row, labels)}\n" for row in rows)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in CELL_END.split(row)]


def sentence(row: list[str], labels: list[str]) -> str:
    """What the row is about, a colon, and what it says, with the label of a column where that is no sentence."""
    about, *told = row
    said = [labelled(label, cell) for label, cell in zip(labels, told, strict=True) if cell]
    return f"{about}: {'; '.join(said)}."


def labelled(label: str, cell: str) -> str:
    is_sentence = cell.endswith(".") or len(cell.split()) > LABELLED_WORDS
    return cell.removesuffix(".") if is_sentence else f"{label} {cell}".strip()


def plain(markdown: str) -> str:
    return " ".join(ITEM.sub("", LINK.sub(r"\1", EMPHASIS.sub("", markdown))).split())


def parts(body: str) -> Iterator[str]:
    """Whole paragraphs and items of lists, as many as `PART_CHARS` hold."""
    part = ""
    for piece in BREAK.split(body):
        if part and len(part) + len(piece) > PART_CHARS:
            yield part.strip()
            part = ""
        part += piece + "\n"
    if part.strip():
        yield part.strip()


def index(path: Path) -> None:
    documents = [document for page in PAGES for document in sections(page)]
    try:
        written = write(path, documents, "default")
    except ModelLoadError:  # no embedding model on this machine: then by words alone
        written = write(path, documents, None)
    print(f"==> {path}: {written}")


def write(path: Path, documents: list[Document], embedder: str | None) -> str:
    with Collection.open(path, embedder=embedder) as collection:
        wanted = {document["id"] for document in documents}
        num_deleted = collection.delete([known for known in collection.ids() if known not in wanted])
        done = collection.update(documents, progress=sys.stderr.isatty())
        changed = done.num_added + done.num_updated + num_deleted
        return f"{len(collection)} parts of Quire's pages, {changed} of them changed"


if __name__ == "__main__":
    index(Path(sys.argv[1]))
