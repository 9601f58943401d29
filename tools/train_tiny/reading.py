"""Passages cut from real text, with questions from people (SQuAD) or made by rule from the text itself.

Each class is a `lessons.Source`. The rules are crude on purpose: what they teach is to find the place that shares
words with the question and to quote what stands there.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from .corpora import Article, sentences
from .disguise import disguised
from .lessons import Passage

YEAR = re.compile(r"\b[12]\d{3}\b")
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d\b")
NAME = re.compile(r"\b[A-Z][\w'-]*(?: (?:of |the |de )?[A-Z][\w'-]*)*")
SUBJECT = re.compile(
    r"((?:The |A |An )?[A-Z][\w'-]*(?: [\w'-]+){0,4}) "
    r"((?:is|was|are|were|has|had|became|won|wrote|made|began|took|led|can|uses|used|returns?|contains?|sets?|provides?"
    r"|specifies|describes|retrieves|creates|gives|shows|defines|represents) .{12,90}?)(?:[,.;:]|$)"
)
STOP = frozenset(
    "a an and are as at by for from in is it its of on or that the this to was were with which".split()  # noqa: SIM905
)


def words_of(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if word not in STOP}


def window(parts: Sequence[str], centre: int, max_words: int) -> str:
    """The sentence in the centre, and its neighbours while they fit."""
    first = last = centre
    while True:
        size = sum(len(part.split()) for part in parts[first : last + 1])
        if last + 1 < len(parts) and size + len(parts[last + 1].split()) <= max_words:
            last += 1
        elif first > 0 and size + len(parts[first - 1].split()) <= max_words:
            first -= 1
        else:
            return " ".join(parts[first : last + 1])


def supporting(parts: Sequence[str], question: str, answer: str) -> int | None:
    """The sentence that holds the answer and shares most words with the question."""
    holding = [index for index, part in enumerate(parts) if answer in part]
    return max(holding, key=lambda index: len(words_of(question) & words_of(parts[index])), default=None)


class Squad:
    """Questions that people asked about Wikipedia paragraphs; the passages of a group are mostly of one article.

    `disguise` is the share of groups whose names and numbers are replaced.
    """

    def __init__(self, articles: list[Article], disguise: float = 0.0) -> None:
        self.articles = articles
        self.disguise = disguise

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        own = rng.choice(self.articles).paragraphs
        other = rng.choice(self.articles).paragraphs
        num_own = min(len(own), rng.randint(1, count))
        chosen = rng.sample(own, num_own) + rng.sample(other, min(len(other), count - num_own))
        passages = [self._passage(rng, text, questions, max_words) for text, questions in chosen]
        if not self.disguise or rng.random() >= self.disguise:
            return passages
        rewrite = disguised(rng, [passage.text for passage in passages])
        return [
            Passage(rewrite(p.text), [(rewrite(question), rewrite(answer)) for question, answer in p.questions])
            for p in passages
        ]

    def _passage(
        self, rng: random.Random, text: str, questions: list[tuple[str, list[str]]], max_words: int
    ) -> Passage:
        parts = sentences(text)
        located = []
        for question, answers in questions:
            answer = min(answers, key=len)
            if (place := supporting(parts, question, answer)) is not None:
                located.append((place, question, answer))
        centre = rng.choice(located)[0] if located else rng.randrange(len(parts))
        cut = window(parts, centre, max_words)
        return Passage(cut, [(question, answer) for place, question, answer in located if parts[place] in cut])


class PlainText:
    """Passages that follow each other in a document, asked about by rule."""

    def __init__(self, documents: list[list[str]]) -> None:
        self.documents = documents

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        paragraphs = [paragraph for paragraph in rng.choice(self.documents) if len(paragraph) > 60]
        if len(paragraphs) < count:
            paragraphs = paragraphs + [p for p in rng.choice(self.documents) if len(p) > 60]
        return [self._passage(rng, text, max_words) for text in rng.sample(paragraphs, min(count, len(paragraphs)))]

    def _passage(self, rng: random.Random, text: str, max_words: int) -> Passage:
        parts = sentences(text)
        cut = " ".join(window(parts, rng.randrange(len(parts)), max_words).split()[: max_words * 3 // 2])
        asked = [made for part in sentences(cut) if (made := ask(rng, part)) is not None]
        return Passage(cut, asked[:3])


class Sentences:
    """Lower-cased sentences with a question each; the answer is a number where that is plain, else the sentence."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        start = rng.randrange(max(1, len(self.pairs) - 40))
        by_sentence: dict[str, list[str]] = {}
        for sentence, question in self.pairs[start : start + 40]:
            if len(sentence.split()) <= max_words + 10:
                by_sentence.setdefault(sentence, []).append(question)
        chosen = rng.sample(sorted(by_sentence), min(count, len(by_sentence)))
        return [
            Passage(sentence, [quote(sentence, question) for question in by_sentence[sentence]]) for sentence in chosen
        ]


def quote(sentence: str, question: str) -> tuple[str, str]:
    pattern = YEAR if re.search(r"\b(when|year)\b", question) else NUMBER if "how many" in question else None
    found = [n for n in pattern.findall(sentence) if n not in question] if pattern else []
    return (question, found[0]) if len(found) == 1 else (f"Quote: {question}", sentence.rstrip(" .\"'"))


def ask(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    """One question about the sentence, or None if no rule fits."""
    rules = [ask_year, ask_number, ask_subject, ask_subject, ask_gap, ask_next, ask_mention]
    for rule in rng.sample(rules, 3):
        made = rule(rng, sentence)
        if made is not None and made[1] and made[1] in sentence:
            return made
    return None


def ask_year(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    found = re.search(r"((?:[\w'-]+ ){4,12})(?:in|since|of|until) ([12]\d{3})\b", sentence)
    start = rng.choice(["In what year: ", "When: ", "What year: "])
    return (start + found[1].strip() + "?", found[2]) if found else None


def ask_number(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    found = re.search(r"\b(\d[\d,.]*) ([a-z]+s(?: [\w'-]+){0,6})", sentence)
    start = rng.choice(["How many ", "What number of "])
    return (start + found[2] + "?", found[1]) if found else None


def ask_subject(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    found = SUBJECT.match(sentence)
    start = rng.choice(["What ", "Who or what ", "Which one "])
    return (start + found[2] + "?", found[1]) if found else None


def ask_gap(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    words = sentence.split()
    if len(words) < 10:
        return None
    length = rng.randint(1, 3)
    start = rng.randint(3, len(words) - length - 3)
    gap = " ".join(words[start : start + length])
    left, right = words[max(0, start - 5) : start], words[start + length : start + length + 4]
    return f"Fill the gap: {' '.join(left)} ___ {' '.join(right)}", gap.rstrip(".,;:")


def ask_next(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    words = sentence.split()
    if len(words) < 10:
        return None
    start = rng.randint(0, len(words) - 8)
    return f"What follows: {' '.join(words[start : start + 4])}", " ".join(words[start + 4 : start + 8]).rstrip(".,;:")


def ask_mention(rng: random.Random, sentence: str) -> tuple[str, str] | None:
    found = NAME.findall(sentence[1:])
    name = rng.choice(found) if found else ""
    return (rng.choice([f"Which passage mentions {name}?", f"Where is {name} mentioned?"]), name) if name else None
