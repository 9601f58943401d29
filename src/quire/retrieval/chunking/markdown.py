"""The outline of Markdown: CommonMark with tables, read by markdown-it-py, of which only the structure of blocks is
used. What is indexed is the source itself; front matter is a block."""

import re
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from quire.retrieval.chunking.outline import Outline, OutlineBuilder, trimmed

_FRONT_MATTER = re.compile(r"\A---[^\S\n]*\n(?:.*\n)*?---[^\S\n]*(?:\n|\Z)")
_LINE_END = re.compile(r"\r\n?|\n")
_LINES = ("fence", "code_block", "table_open", "html_block")


def outline_of_markdown(text: str) -> Outline:
    builder = OutlineBuilder()
    front = _FRONT_MATTER.match(text)
    shift = front.end() if front else 0
    if front:
        builder.add_block(*trimmed(text, 0, shift), is_lines=True)
    line_starts = [shift, *(match.end() for match in _LINE_END.finditer(text, shift)), len(text)]
    tokens = _parser().parse(text[shift:])
    for token, inside in pairwise([*tokens, Token("end", "", 0)]):
        if token.map is None:
            continue
        start, end = trimmed(text, line_starts[token.map[0]], line_starts[min(token.map[1], len(line_starts) - 1)])
        if token.type == "heading_open" and token.level == 0:
            builder.add_heading(int(token.tag[1:]), inside.content, start, end)
        elif _is_block(token) and start < end:
            builder.add_block(start, end, is_lines=token.type in _LINES)
    return Outline(text, builder.finished())


def _is_block(token: Token) -> bool:
    """Items of a list are blocks, lists are not."""
    if token.level == 0:
        return token.type not in ("bullet_list_open", "ordered_list_open", "hr")
    return token.level == 1 and token.type == "list_item_open"


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table").disable("inline")
