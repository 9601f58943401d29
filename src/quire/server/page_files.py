"""The files of the page, by their addresses."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
PAGE_FILES: dict[str, tuple[str, str]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
    "/static/main.js": ("main.js", "text/javascript; charset=utf-8"),
    "/static/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
    "/static/live.js": ("live.js", "text/javascript; charset=utf-8"),
    "/static/server.js": ("server.js", "text/javascript; charset=utf-8"),
}
"""File and media type."""
