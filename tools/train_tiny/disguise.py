"""Real passages under other names: what is asked stays, what could be remembered goes.

A few thousand questions are read many times over in training. Names and numbers that are different each time keep the
answer from being learnt by heart, so that it must be read. Knows only text. Invariant: what is replaced is replaced
everywhere in the same way, so an answer that stood in its passage still does.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .corpora import sentences
from .invented import syllables

CAPITALISED = re.compile(r"\b[A-Z][a-z]+\b")
DIGITS = re.compile(r"\d+")
# Common words that begin sentences and questions, months, days, kinds of places.
KEPT = frozenset(
    "The This These Those That There They Their Its His Her What When Where Which Who Whom Whose Why How Did Does "  # noqa: SIM905
    "Was Were January February March April May June July August September October November December Monday Tuesday "
    "Wednesday Thursday Friday Saturday Sunday University School River Park Church Act War Court North South East "
    "West".split()
)


def disguised(rng: random.Random, texts: list[str]) -> Callable[[str], str]:
    """A rewriting of all that belongs to these texts; every name and number is replaced with even chance."""
    inside = {word for text in texts for part in sentences(text) for word in CAPITALISED.findall(part[1:])}
    lower = set(re.findall(r"\b[a-z]+\b", " ".join(texts)))
    names = {
        word: syllables(rng, 1, 3) for word in sorted(inside - KEPT) if word.lower() not in lower and rng.random() < 0.5
    }
    numbers = {
        digits: renumbered(rng, digits) for digits in sorted(set(DIGITS.findall(" ".join(texts)))) if rng.random() < 0.5
    }

    def rewrite(text: str) -> str:
        text = CAPITALISED.sub(lambda match: names.get(match[0], match[0]), text)
        return DIGITS.sub(lambda match: numbers.get(match[0], match[0]), text)

    return rewrite


def renumbered(rng: random.Random, digits: str) -> str:
    """As long, and a year stays in its century."""
    kept = 2 if len(digits) == 4 else 0
    tail = "".join(rng.choice("0123456789") for _ in digits[kept:])
    return digits[:kept] + (tail if kept or not tail.startswith("0") else rng.choice("123456789") + tail[1:])
