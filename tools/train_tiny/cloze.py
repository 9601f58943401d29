"""Questions made from any sentence by asking for a part of it: a name, a number, a date, a phrase.

The question is the rest of the sentence behind a question word of the right kind, with words dropped and halves
swapped, so that neither order nor every word of it can be relied on: what remains is to find the place that shares
words with the question and to quote what fits the question word. `Cloze` and `Located` are `lessons.Source`s; they know
nothing of tokens.
Invariant: an answer is a literal part of its sentence and shares no word with its question.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import NamedTuple

from .corpora import sentences
from .lessons import Passage, Source
from .reading import STOP, window, words_of

MAX_QUESTIONS = 4  # about one passage
MAX_WORDS = 11  # of the sentence, in a question
NAME = r"[A-Z][\w'’-]*(?: (?:(?:of|the|de|and) )?[A-Z][\w'’-]*)*"
MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
NOUN = r"[a-z][a-z-]{2,}"
NOUNS = rf"(?:{NOUN} ){{0,2}}{NOUN}"
CLAUSE_END = re.compile(r"\s*[;:()\u2013]\s*|, ")


class Form(NamedTuple):
    """Parts of a sentence that answer questions of one kind: group 1 of `pattern`."""

    pattern: re.Pattern[str]
    words: tuple[str, ...]
    weight: int


def form(pattern: str, words: str, weight: int) -> Form:
    return Form(re.compile(pattern), tuple(words.split("|")), weight)


FORMS = [
    form(r"\b(?:[Ii]n|[Ss]ince|until|by|of|after|before) ([12]\d{3})\b", "When|In what year|What year|When did", 4),
    form(rf"\b((?:{MONTH})(?: \d{{1,2}})?(?:, | )?(?:[12]\d{{3}})?)\b", "When|On what date|When was|When did", 4),
    form(rf"\b(?![12]\d{{3}}\b)(\d[\d,.]*\d|\d) {NOUN}", "How many|How many|What number of|How much", 4),
    form(r"(\$ ?\d[\d,.]*(?: (?:million|billion))?)", "How much|How much money", 3),
    form(r"(\d[\d.]*(?: ?%| percent))", "What percentage|How much|What percent", 3),
    form(r"\b(one|two|three|four|five|six|seven|eight|nine|ten|twelve|hundreds|thousands) [a-z]+s\b", "How many", 3),
    form(rf"\b(?:in|at|near|from|to) (?:the )?({NAME})", "Where|Where|In what place|Where did|Which place", 3),
    form(rf"\bby (?:the )?({NAME})", "Who|By whom|Who|Which", 4),
    form(rf"\b({NAME}) (?:was|is|had|has|[a-z]+ed|won|wrote|led|became|began)\b", "Who|Who|What|Which", 4),
    form(rf"(?<=[a-z,] )({NAME})", "Who|What|Which|What|Who was|What is", 4),
    form(rf"\b(?:the|a|an) ({NOUNS})(?= (?:of|in|and|that|which|was|is|are|were|to|for|with|by|on)|[.,])",
         "What|What|Which|What type of|What kind of|What was|What is", 3),
    form(rf"\b(?:of|with|for|and|as|into|from) ({NOUNS})(?=[.,;]| and )", "What|What|Which|What are", 2),
    form(r"\bbecause (?:of )?([^.,;]{8,70})", "Why|Why|For what reason", 5),
    form(r"\bby ([a-z]+ing [^.,;]{5,50})", "How|How|In what way", 3),
    form(r"`?\b(\w+_\w+|[a-z]+[A-Z]\w+|[A-Z][a-z]+[A-Z]\w+)\b`?", "What|Which|What", 3),
]  # fmt: skip


class Cloze:
    """Passages that follow each other in a document, with questions about their sentences."""

    def __init__(self, documents: list[list[str]]) -> None:
        self.documents = documents

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        paragraphs: list[str] = []
        while len(paragraphs) < count:
            paragraphs += [paragraph for paragraph in rng.choice(self.documents) if len(paragraph) > 60]
        return [self._passage(rng, text, max_words) for text in rng.sample(paragraphs, count)]

    def _passage(self, rng: random.Random, text: str, max_words: int) -> Passage:
        parts = sentences(text)
        cut = " ".join(window(parts, rng.randrange(len(parts)), max_words).split()[: max_words * 3 // 2])
        return Passage(cut, cloze_questions(rng, cut, MAX_QUESTIONS))


class Located:
    """The passages of another source, asked for by their questions and by words of theirs; the answer is the number."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        return [self._passage(rng, passage) for passage in self.source.group(rng, count, max_words)]

    def _passage(self, rng: random.Random, passage: Passage) -> Passage:
        words = sorted(words_of(passage.text))
        asked = [question for question, _ in passage.questions]
        asked += [" ".join(rng.sample(words, min(len(words), rng.randint(2, 5)))) for _ in range(3)]
        return Passage(passage.text, [(f"Which passage: {question}", "") for question in asked])


def cloze_questions(rng: random.Random, text: str, count: int) -> list[tuple[str, str]]:
    """At most `count` questions about the sentences of a passage."""
    asked = [made for sentence in sentences(text) for made in about(rng, sentence)]
    return rng.sample(asked, min(len(asked), count))


def about(rng: random.Random, sentence: str) -> Iterator[tuple[str, str]]:
    """A few parts of the sentence, each with a question for it."""
    found = [(form, match) for form in FORMS for match in form.pattern.finditer(sentence)]
    asked: set[str] = set()
    for _ in range(min(3, len(found))):
        form, match = rng.choices(found, [form.weight for form, _ in found])[0]
        answer = match[1].strip(" .,'’-")
        question = ask(rng, rng.choice(form.words), sentence[: match.start(1)], sentence[match.end(1) :], answer)
        if question and answer not in asked:
            asked.add(answer)
            yield question, answer


def ask(rng: random.Random, start: str, before: str, after: str, answer: str) -> str | None:
    """None if too little is left to tell what is asked for."""
    left, right = CLAUSE_END.split(before)[-1].split(), CLAUSE_END.split(after)[0].split()
    if len(left) + len(right) < 4:
        left, right = before.split()[-6:], after.split()[:6]
    if left and left[-1].lower() in ("in", "by", "at", "since", "the", "a", "an", "of", "to") and rng.random() < 0.7:
        left = left[:-1]
    left, right = left[-MAX_WORDS + 2 :], right[: MAX_WORDS - 2]
    order = [*left, *right] if rng.random() < 0.5 else [*right, *left]
    dropped = rng.choice([0.0, 0.15, 0.3])
    kept = [word for word in order if rng.random() >= dropped][:MAX_WORDS]
    text = " ".join(kept).strip(" .,;:'\"")
    telling = words_of(text)
    if len(telling) < 3 or (words_of(answer) - STOP) & telling:
        return None
    if rng.random() < 0.6:
        text = text[0].lower() + text[1:]
    return f"{start} {text}?"
