"""Passages that are lists: rows of `name: value; meaning.`, as tables and knobs look once their markup is gone.

The names and values are invented, the meanings are sentences of real documentation. `Listed` is a `lessons.Source`; it
knows nothing of tokens. Invariant: an answer is one whole row of its passage, and its name is on no other row.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from .corpora import sentences
from .invented import VALUES, WORDS, identifier, syllables
from .lessons import Passage
from .reading import words_of

MEANING_WORDS = range(4, 19)
WORDS_OF_ROW = 20  # about, to fill a passage
SETTINGS = ("None", "True", "False", "0", "auto", "none", "off", "1 each")
ASK_NAME = ("What is {}?", "What does {} do?", "Explain {}.", "What is {} for?", "{}", "What does {} mean?")
ASK_VALUE = ("What is the default of {}?", "What is the default {}?", "What is {} by default?", "Which value has {}?")
ASK_WORDS = ("How do I set {}?", "What sets {}?", "How do I {}?", "Which is {}?", "What about {}?", "How is {}?", "{}")


class Entry(NamedTuple):
    """A row and what may be asked of it."""

    text: str
    questions: list[tuple[str, str]]


class Listed:
    def __init__(self, documents: list[list[str]]) -> None:
        self.documents = documents

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        size = max(1, max_words // WORDS_OF_ROW)
        sizes = [rng.randint(max(1, size // 2), size + 1) for _ in range(count)]
        columns = rng.choice([2, 3, 3])
        names, meanings = some_names(rng, sum(sizes)), self._meanings(rng, sum(sizes))
        entries = [entry(rng, name, meaning, columns) for name, meaning in zip(names, meanings, strict=True)]
        heading = f"{lead(rng.choice(meanings))}: " if rng.random() < 0.7 else ""
        return [passage(heading, [entries.pop() for _ in range(number)]) for number in sizes]

    def _meanings(self, rng: random.Random, count: int) -> list[str]:
        """Of one or two neighbourhoods, so that rows resemble each other."""
        found: list[str] = []
        while len(found) < count:
            parts = [part for text in rng.choice(self.documents) for part in sentences(text)]
            found += sorted({part for part in parts if part.endswith(".") and len(part.split()) in MEANING_WORDS})
        return rng.sample(found[: count * 2], count)


def some_names(rng: random.Random, count: int) -> list[str]:
    """Alike in kind, as the names of a table are."""
    kind = rng.choice(NAMES)
    names: set[str] = set()
    while len(names) < count:
        names.add(kind(rng))
    return rng.sample(sorted(names), count)


def some_words(rng: random.Random, low: int, high: int) -> list[str]:
    return rng.sample(WORDS["words"] + WORDS["things"], rng.randint(low, high))


NAMES = (
    identifier,
    lambda rng: "_".join("_".join(some_words(rng, 2, 3)).split()),
    lambda rng: "--" + "-".join("-".join(some_words(rng, 1, 3)).split()),
    lambda rng: "".join(word.title().replace(" ", "") for word in some_words(rng, 2, 3)),
    lambda rng: " ".join(some_words(rng, 2, 3)),
    lambda rng: f"{rng.choice(['GET', 'POST', 'PUT'])} /{'/'.join(some_words(rng, 1, 2))}/{syllables(rng).lower()}",
)


def entry(rng: random.Random, name: str, meaning: str, columns: int) -> Entry:
    setting = rng.choice([*SETTINGS, *(VALUES[kind](rng) for kind in ("small", "small", "measure", "code"))])
    told = meaning.removesuffix(".")
    forms = [f"default {setting}; {told}", f"default {setting}; {told}", f"{setting}; {told}", f"{told}; {setting}"]
    text = f"{name}: {rng.choice(forms) if columns == 3 else told}."
    return Entry(text, [(question, text) for question in asked_of_row(rng, name, told, has_setting=columns == 3)])


def asked_of_row(rng: random.Random, name: str, told: str, has_setting: bool) -> list[str]:
    """By its name, as it is written or spoken, for its value, and by some of its words."""
    spoken = name if rng.random() < 0.5 else name.strip("-").replace("_", " ").replace("-", " ")
    asked = [rng.choice(ASK_NAME).format(spoken)]
    if has_setting:
        asked.append(rng.choice(ASK_VALUE).format(spoken))
    telling = [word for word in told.split() if words_of(word)]
    start, size = rng.randrange(max(1, len(telling) - 5)), rng.randint(2, 6)
    by_words = " ".join(telling[start : start + size]).strip(".,;:").lower()
    return [*asked, rng.choice(ASK_WORDS).format(by_words)]


def passage(heading: str, entries: list[Entry]) -> Passage:
    return Passage(heading + " ".join(e.text for e in entries), [pair for e in entries for pair in e.questions])


def lead(sentence: str) -> str:
    return " ".join(sentence.split()[:3]).strip(".,;:").capitalize()
