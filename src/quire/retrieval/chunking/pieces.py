"""Where a block that is too long may be broken: between sentences, between lines of code, at worst between words.

A sentence ends at its mark where what follows could begin one. It is a guess by a few rules, in every language that
ends sentences so; a wrong one costs nothing but a cut at another place.
"""

import re
from collections.abc import Iterator

_MARKS = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s)|[。！？]++[」』”’）]*+")
# fmt: off
_NO_END = frozenset((
    "al.", "approx.", "cf.", "dr.", "e.g.", "ed.", "eq.", "etc.", "fig.", "i.e.", "inc.", "mr.", "mrs.", "ms.", "no.",
    "nr.", "p.", "pp.", "prof.", "st.", "vs.",
))
# fmt: on
_LINE = re.compile(r"[^\n]*\n?")
_LONGEST_WORD = 12
"""Of those in _NO_END, and some more."""


def sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of each, one after the other, white space included."""
    begin = start
    for mark in _MARKS.finditer(text, start, end):
        if _ends_sentence(text, begin, mark, end):
            yield begin, mark.end()
            begin = mark.end()
    if begin < end:
        yield begin, end


def lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    return (line.span() for line in _LINE.finditer(text, start, end) if line[0])


def _ends_sentence(text: str, begin: int, mark: re.Match[str], end: int) -> bool:
    if mark[0] != ".":
        return not _next_character(text, mark.end(), end).islower()
    words = text[max(begin, mark.start() - _LONGEST_WORD) : mark.end()].split()
    word = words[-1].lstrip("([\"'“‘") if words else ""
    is_initial = len(word) == 2 and word[0].isupper()
    is_number_of_item = len(words) == 1 and word[:-1].isdigit()
    if is_initial or is_number_of_item or word.lower() in _NO_END:
        return False
    return not _next_character(text, mark.end(), end).islower()


def _next_character(text: str, start: int, end: int) -> str:
    """The first that is no space."""
    while start < end and text[start].isspace():
        start += 1
    return text[start:end][:1]
