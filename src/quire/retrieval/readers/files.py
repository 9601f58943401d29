"""Files and folders to texts, by the ends of their names.

    .md .markdown       markdown        .pdf     text, a page behind the other (needs pypdf)
    .html .htm .xhtml   html            .docx    markdown, by the styles of its paragraphs (needs python-docx)
    any other           text, if it is text

What is no UTF-8 is read as what its byte order mark says; single bytes that are no character become U+FFFD.
"""

import codecs
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quire.errors import InvalidRequestError

SUFFIXES = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".pdf": "pdf",
    ".docx": "docx",
}
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_SAMPLE_BYTES = 8192


@dataclass(frozen=True, slots=True)
class FileText:
    text: str
    kind: str
    """What the text is written in, as `Chunker.split` and documents have it: text, markdown or html."""


def find_files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Files as they are given; of folders all files below them that have one of SUFFIXES, in the order of their names,
    but none that is hidden. Raises InvalidRequestError for a path where nothing is."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from _files_below(path)
        elif path.exists():
            yield path
        else:
            raise InvalidRequestError(f"there is no {path}; give files or folders")


def read_file(path: str | Path) -> FileText:
    """Raises InvalidRequestError where the file cannot be read, or is none of those that can be; ConfigError where what
    reads it is not installed."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InvalidRequestError(f"{path} cannot be read: {error.strerror}") from error
    return read_content(str(path), content)


def read_content(name: str, content: bytes) -> FileText:
    """The same for a file that is in memory, and was called `name`."""
    kind = SUFFIXES.get(Path(name).suffix.lower(), "text")
    if kind in _CONVERTERS:
        return _CONVERTERS[kind](name, content)
    return FileText(_text_of(name, content), kind)


def _files_below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files_below(path)
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _text_of(name: str, content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, errors="replace")
    if b"\0" in content[:_SAMPLE_BYTES]:
        known = ", ".join(SUFFIXES)
        raise InvalidRequestError(f"{name} is no text; what can be read besides text: {known}")
    return content.decode(errors="replace")


def _pdf(name: str, content: bytes) -> FileText:
    from quire.retrieval.readers.pdf import read_pdf  # loads a package that need not be there

    return FileText(read_pdf(name, content), "text")


def _docx(name: str, content: bytes) -> FileText:
    from quire.retrieval.readers.docx import read_docx  # loads a package that need not be there

    return FileText(read_docx(name, content), "markdown")


_CONVERTERS: dict[str, Callable[[str, bytes], FileText]] = {"pdf": _pdf, "docx": _docx}
