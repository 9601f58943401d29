"""What the model is taught with: passages, and questions whose answers stand in them.

A `Passage` carries its own questions; a `Lesson` is several passages under numbers, asked about in turn. This file
knows the shape of the answers (`span [n]`, or the refusal) and nothing of tokens or of where text comes from.
Invariant: an answer is a literal part of the passage it cites.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

REFUSAL = "The passages do not say."


@dataclass(frozen=True)
class Passage:
    text: str
    questions: list[tuple[str, str]] = field(default_factory=list)
    """(question, answer that the text contains, or nothing: then the number alone is the reply)"""
    unanswerable: list[str] = field(default_factory=list)  # about this text, but it does not say


@dataclass(frozen=True)
class Turn:
    question: str
    answer: str
    source: int | None  # index of the passage that says it; None: none does

    @property
    def reply(self) -> str:
        return REFUSAL if self.source is None else f"{self.answer} [{self.source + 1}]".lstrip()


@dataclass(frozen=True)
class Lesson:
    passages: list[str]
    turns: list[Turn]

    @property
    def numbered(self) -> str:
        return "\n".join(f"[{number}] {text}" for number, text in enumerate(self.passages, 1))


class Source(Protocol):
    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        """About `count` passages that resemble each other, none of more than about `max_words` words."""


@dataclass(frozen=True)
class Refusals:
    """How many questions that the passages do not answer are asked beside those they do: `share` of them, and between
    `low` and `high` more, then rounded."""

    share: float
    low: float = -0.5
    high: float = 0.5


def compose(rng: random.Random, passages: list[Passage], foreign: list[Passage], refusals: Refusals) -> Lesson:
    """Number the passages in random order and ask everything they answer, and some of what they do not."""
    order = rng.sample(passages, len(passages))
    turns = [
        Turn(question, answer, index) for index, passage in enumerate(order) for question, answer in passage.questions
    ]
    text = "\n".join(passage.text for passage in order)
    missing = [question for passage in order for question in passage.unanswerable]
    missing += [question for passage in foreign for question, answer in passage.questions if answer not in text]
    rng.shuffle(missing)
    num_refusals = max(0, round(refusals.share * len(turns) + rng.uniform(refusals.low, refusals.high)))
    turns += [Turn(question, "", None) for question in missing[:num_refusals]]
    rng.shuffle(turns)
    return Lesson([passage.text for passage in order], turns)
