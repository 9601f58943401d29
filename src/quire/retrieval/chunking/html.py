"""The outline of HTML: what a page says, without its tags, and where each word lies in the source.

Scripts, styles and drawings say nothing. Read by the parser of the standard library, which takes everything for HTML
and knows where it is.
"""

import re
from html.entities import html5
from html.parser import HTMLParser

from quire.retrieval.chunking.outline import Outline, OutlineBuilder, trimmed

# fmt: off
_BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "head", "header", "hr", "html", "li", "main", "nav", "ol",
    "option", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
))
# fmt: on
_SILENT = frozenset(("iframe", "noscript", "object", "script", "style", "svg", "template"))
_HEADINGS = {"title": 0, **{f"h{level}": level for level in range(1, 7)}}
_LONGEST_CHARREF = 8
_SPACE = re.compile(r"\s")
_WORDS = re.compile(r"\S+(?:\s\S+)*")


def outline_of_html(source: str) -> Outline:
    page = _Page(source)
    page.feed(source)
    page.close()
    return page.outline()


class _Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=False)
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", source))]
        self._builder = OutlineBuilder()
        self._runs: list[tuple[int, int]] = []
        self._said: list[str] = []
        self._block: list[str] = []
        """What is said of the block that is being read."""
        self._length = 0
        """Of both."""
        self._heading: int | None = None
        self._needs_space = False
        self._num_silent = self._num_pre = 0

    def outline(self) -> Outline:
        self._end_block()
        return Outline("".join(self._said), self._builder.finished(), self._runs)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _SILENT:
            self._num_silent += 1
        elif tag in _HEADINGS:
            self._end_block()
            self._heading = _HEADINGS[tag]
        elif tag in _BLOCKS:
            self._end_block()
            self._num_pre += tag == "pre"
            if tag == "li":
                self._say("- ")
        elif tag in ("td", "th") and self._block:
            self._say(" | ")
        elif tag == "br":
            self._say("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SILENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._num_silent = max(self._num_silent - 1, 0)
        elif tag in _HEADINGS:
            self._end_block()
            self._heading = None
        elif tag in _BLOCKS:
            self._end_block()
            self._num_pre = max(self._num_pre - (tag == "pre"), 0)

    def handle_data(self, data: str) -> None:
        if self._num_pre:
            self._say(data)
            return
        end = 0
        for words in _WORDS.finditer(data):
            self._needs_space |= words.start() > 0
            self._say(_SPACE.sub(" ", words[0]), words.start())
            end = words.end()
        self._needs_space |= end < len(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(html5.get(f"{name};", f"&{name}"))

    def handle_charref(self, name: str) -> None:
        is_short = len(name) <= _LONGEST_CHARREF
        code = (int(name[1:], 16) if name[0] in "xX" else int(name)) if is_short else 0
        self.handle_data(chr(code) if 0 < code < 0xD800 or 0xDFFF < code < 0x110000 else "\ufffd")

    def parse_marked_section(self, i: int, report: bool = True) -> int:  # noqa: ARG002
        """What begins with <![ is a comment in HTML; the parser would raise for most of it."""
        return self.parse_bogus_comment(i)

    def _say(self, words: str, offset: int = 0) -> None:
        """Words that stand `offset` characters behind where the parser is, or that we add there."""
        if self._num_silent:
            return
        if self._needs_space and self._block and not self._block[-1][-1].isspace():
            self._append(" ")
        self._needs_space = False
        line, column = self.getpos()
        self._runs.append((self._length, self._line_starts[line - 1] + column + offset))
        self._append(words)

    def _append(self, words: str) -> None:
        self._block.append(words)
        self._length += len(words)

    def _end_block(self) -> None:
        said = "".join(self._block)
        first = self._length - len(said)
        start, end = trimmed(said, 0, len(said))
        if start < end and self._heading is not None:
            self._builder.add_heading(self._heading, said[start:end], first + start, first + end)
            self._heading = None
        elif start < end:
            self._builder.add_block(first + start, first + end, is_lines=self._num_pre > 0)
        self._said += (said, "\n\n")
        self._length += 2
        self._block = []
        self._needs_space = False
