"""Quire's own pages, as `make run` indexes them, asked about by rule; the answers are their sentences and rows.

What the model is asked most, on the page that comes with it, is asked of these. `Pages` is a `lessons.Source`.
Invariant: an answer is a whole sentence of its passage, or a row of a table.
"""

from __future__ import annotations

import random
import re

from tools.index_docs import PAGES, sections

from .cloze import about
from .corpora import sentences
from .lessons import Passage
from .listed import asked_of_row
from .quoting import by_rule, can_quote

ROW_START = re.compile(r"(?<=\.) (?=[^:;.]{2,60}: )")
NAMED = re.compile(r"(?!Default:)([^:;.]{2,60}): (.{12,})")
ASKED_SENTENCES = 4  # of a passage


class Pages:
    def __init__(self) -> None:
        self.pages = [[document["text"] for document in sections(page)] for page in PAGES]

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        """Parts of one or two pages."""
        parts = [*rng.choice(self.pages), *rng.choice(self.pages)]
        parts = [part for part in dict.fromkeys(parts) if len(part.split()) <= max(60, max_words)]
        return [self._passage(rng, part) for part in rng.sample(parts, min(count, len(parts)))]

    def _passage(self, rng: random.Random, text: str) -> Passage:
        said = [part for part in sentences_and_rows(text) if can_quote(part)]
        chosen = rng.sample(said, min(len(said), ASKED_SENTENCES))
        return Passage(text, [(question, part) for part in chosen for question in asked_of(rng, part)])


def sentences_and_rows(text: str) -> list[str]:
    """Without the heading in front."""
    return [row for part in sentences(text.partition(": ")[2]) for row in ROW_START.split(part)]


def asked_of(rng: random.Random, part: str) -> list[str]:
    asked = [question for question, _ in by_rule(rng, [part])] + [question for question, _ in about(rng, part)]
    if row := NAMED.fullmatch(part):
        asked += asked_of_row(rng, row[1], row[2], has_setting="default" in row[2])
    return rng.sample(asked, min(len(asked), 2))
