"""The outline of plain text: paragraphs stand between blank lines or on pages of their own. It has no headings."""

import re

from quire.retrieval.chunking.outline import Outline, OutlineBuilder, trimmed

_GAP = re.compile(r"\n\s*\n|\f")


def outline_of_text(text: str) -> Outline:
    builder = OutlineBuilder()
    begin = 0
    for end, after in [*(gap.span() for gap in _GAP.finditer(text)), (len(text), len(text))]:
        start, stop = trimmed(text, begin, end)
        if start < stop:
            builder.add_block(start, stop)
        begin = after
    return Outline(text, builder.finished())
