"""The files of the page, by their addresses."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_NAMES = (
    "style.css",
    "main.js",
    "server.js",
    "chat/chat.js",
    "chat/answer.js",
    "library/choice.js",
    "library/search.js",
    "library/documents.js",
    "library/collections.js",
    "library/passage.js",
    "library/highlight.js",
    "live/live.js",
    "live/queries.js",
)


def _file(name: str) -> tuple[str, str]:
    return name, _MEDIA_TYPES[Path(name).suffix]


PAGE_FILES: dict[str, tuple[str, str]] = {"/": _file("index.html"), **{f"/static/{n}": _file(n) for n in _NAMES}}
"""File and media type."""
