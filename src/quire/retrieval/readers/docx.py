"""DOCX to Markdown, by python-docx: headings and lists by the styles of paragraphs, tables row by row."""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from quire.errors import ConfigError, InvalidRequestError

_HEADING = re.compile(r"Heading ([1-6])")
MAX_UNPACKED_BYTES = 512 << 20
_MARKUP = re.compile(r"^(?=[#>`~|+*=-]|\d+[.)]\s)", re.MULTILINE)


def read_docx(name: str, content: bytes) -> str:
    """Raises ConfigError without python-docx, InvalidRequestError where there is no document that can be read."""
    try:
        from docx import Document
        from docx.table import Table
    except ModuleNotFoundError as error:
        raise ConfigError(f"{name} needs python-docx to be read: pip install 'quire[documents]'") from error
    try:
        _check_size(name, content)
        items = Document(BytesIO(content)).iter_inner_content()
        parts = [part for item in items for part in (_table(item) if isinstance(item, Table) else _paragraph(item))]
    except InvalidRequestError:
        raise
    except Exception as error:  # the library raises whatever a broken file brings about
        raise InvalidRequestError(f"{name} is no DOCX that can be read: {error}") from error
    return "\n\n".join(parts) + "\n" if parts else ""


def _check_size(name: str, content: bytes) -> None:
    """A small archive may say that it unpacks to more than there is memory for."""
    with ZipFile(BytesIO(content)) as archive:
        num_bytes = sum(entry.file_size for entry in archive.infolist())
    if num_bytes > MAX_UNPACKED_BYTES:
        raise InvalidRequestError(f"{name} unpacks to {num_bytes:,} bytes; allowed: {MAX_UNPACKED_BYTES:,}")


def _paragraph(paragraph: Any) -> Iterator[str]:
    text = paragraph.text.strip()
    if not text:
        return
    style = paragraph.style.name if paragraph.style is not None else ""
    heading = _HEADING.fullmatch(style)
    if heading or style == "Title":
        yield f"{'#' * int(heading[1]) if heading else '#'} {' '.join(text.split())}"
    elif style.startswith("List"):
        yield "- " + text.replace("\n", "\n  ")
    else:
        yield _MARKUP.sub(r"\\", text)


def _table(table: Any) -> Iterator[str]:
    """With a header of its first row, as Markdown wants it."""
    rows = [[" ".join(cell.text.split()).replace("|", r"\|") for cell in row.cells] for row in table.rows]
    if not rows:
        return
    lines = [f"| {' | '.join(row)} |" for row in rows]
    yield "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
