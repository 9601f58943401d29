"""Questions about real text that are answered with the whole sentence that says it.

A small network that has read little cannot know which words of a sentence answer a question, but it can learn which
sentence does, and copying that shows a person more than a wrong word would. `Quoted` and `Gathered` are
`lessons.Source`s; they know nothing of tokens.
Invariant: an answer is a literal part of its passage, and a whole sentence of it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .cloze import cloze_questions
from .corpora import sentences
from .lessons import Passage, Source
from .reading import supporting, words_of

MIN_WORDS, MAX_WORDS = 4, 45  # of a sentence that is quoted
NEIGHBOURS = 60  # pairs that passages are gathered from
MAX_QUESTIONS = 3  # made by rule about a passage
OPENED, OPENING_WORDS = "Which sentence:", 3
INITIAL = re.compile(r"\b[A-Z]\.$")  # where a name is taken for the end
WORD = re.compile(r"[^\W\d_]+")
PURPOSE = re.compile(r"To ([a-z]+ [^,.:;]{4,60}), ")
SUBJECT = re.compile(
    r"(?!(?:It|This|These|Those|They|He|She|There|That|You|We|Which|What|Who)\b)"
    r"((?:The |An? )?[\w'`-]+(?: [\w'`-]+){0,3}?) "
    r"(is|are|means?|refers?|returns?|contains?|provides?|specifies|describes|sets?|defines|represents|stores?|uses)\b"
)


class Quoted:
    """Passages of another source: its questions and some made by rule, answered by sentences."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        return [self._passage(rng, passage) for passage in self.source.group(rng, count, max_words)]

    def _passage(self, rng: random.Random, passage: Passage) -> Passage:
        parts = sentences(passage.text)
        asked = passage.questions + cloze_questions(rng, passage.text, MAX_QUESTIONS - 1)
        places = [(question, supporting(parts, question, answer)) for question, answer in asked]
        answered = [(question, parts[place]) for question, place in places if place is not None]
        answered += rng.sample(made := [*by_rule(rng, parts)], min(len(made), MAX_QUESTIONS))
        return replace(passage, questions=[pair for pair in answered if can_quote(pair[1])])


class Gathered:
    """Sentences that have a question each but no text around them, a few of a neighbourhood to a passage."""

    def __init__(self, pairs: list[tuple[str, str]], case: dict[str, str]) -> None:
        self.pairs = pairs
        self.case = case

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        start = rng.randrange(max(1, len(self.pairs) - NEIGHBOURS))
        asked: dict[str, list[str]] = {}
        for sentence, question in self.pairs[start : start + NEIGHBOURS]:
            asked.setdefault(recased(sentence, self.case), []).append(recased(question, self.case))
        left = [sentence for sentence in rng.sample(sorted(asked), len(asked)) if can_quote(sentence)]
        chosen: list[list[str]] = []
        while left and len(chosen) < count:
            chosen.append([left.pop()])
            while left and len(" ".join([*chosen[-1], left[-1]]).split()) <= max_words:
                chosen[-1].append(left.pop())
        return [Passage(" ".join(parts), [(q, part) for part in parts for q in asked[part]]) for parts in chosen]


class Opened:
    """The questions of a source of quotes, answered with the first words of the sentence: no less to choose than in a
    whole quote, and room for more questions over one context."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        return [self._passage(passage) for passage in self.source.group(rng, count, max_words)]

    def _passage(self, passage: Passage) -> Passage:
        opened = [(f"{OPENED} {asked}", " ".join(part.split()[:OPENING_WORDS])) for asked, part in passage.questions]
        return replace(passage, questions=opened)


def can_quote(sentence: str) -> bool:
    whole = sentence[-1] in ".!?:\"')" and not INITIAL.search(sentence)
    return whole and MIN_WORDS <= len(sentence.split()) <= MAX_WORDS


def by_rule(rng: random.Random, parts: list[str]) -> Iterator[tuple[str, str]]:
    """What a thing is or does, how something is done, and a few words alone, as people type them to search."""
    for part in parts:
        if found := PURPOSE.match(part):
            yield f"{rng.choice(['How do I', 'How can I', 'How to', 'How do you'])} {found[1]}?", part
        if found := SUBJECT.match(part):
            yield asked_of(rng, found[1], found[2]), part
        words = sorted(words_of(part))
        if len(words) > 4 and rng.random() < 0.3:
            yield " ".join(rng.sample(words, rng.randint(2, 4))), part


def asked_of(rng: random.Random, subject: str, verb: str) -> str:
    thing = subject if subject[:1].isupper() and subject.split()[0] not in ("The", "A", "An") else lowered(subject)
    if verb in ("is", "are"):
        return f"What {verb} {thing}?"
    return rng.choice([f"What does {thing} do?", f"What is {thing}?", f"What {verb} {thing}?", f"Explain {thing}."])


def lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def usual_case(texts: Iterable[str]) -> dict[str, str]:
    """How each word is mostly written inside of sentences."""
    seen = Counter(word for text in texts for part in sentences(text) for word in WORD.findall(part)[1:])
    case: dict[str, str] = {}
    for word, _ in seen.most_common():
        case.setdefault(word.lower(), word)
    return case


def recased(text: str, case: dict[str, str]) -> str:
    """Lower-cased text as it is usually written, from its capital on."""
    text = WORD.sub(lambda match: case.get(match[0], match[0]), text)
    return text[:1].upper() + text[1:]
