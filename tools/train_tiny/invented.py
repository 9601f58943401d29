"""Passages about things that do not exist, so that answering them takes reading and not remembering.

Names are put together from syllables; one name in eight is kept for evaluation (`held_out`). Knows relations.py and
lessons.py. Invariant: within a group no two things share a name, so each question has one answer.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path

from .lessons import Passage
from .relations import DOMAINS, Relation

WORDS: dict[str, list[str]] = json.loads(Path(__file__).with_name("words.json").read_text(encoding="utf-8"))


def held_out(name: str) -> bool:
    return zlib.crc32(name.encode()) % 8 == 0


def syllables(rng: random.Random, low: int = 2, high: int = 3) -> str:
    parts = [rng.choice(WORDS["onsets"]) + rng.choice(WORDS["vowels"]) for _ in range(rng.randint(low, high))]
    return ("".join(parts) + rng.choice(WORDS["codas"])).capitalize()


def person(rng: random.Random) -> str:
    return syllables(rng) if rng.random() < 0.4 else f"{syllables(rng, 1, 2)} {syllables(rng)}"


def identifier(rng: random.Random) -> str:
    return "_".join([rng.choice(WORDS["stages"]), *rng.sample(WORDS["words"], rng.randint(1, 2))])


def code(rng: random.Random) -> str:
    """A serial number or a version."""
    serial = f"{rng.choice('ABCDEFGHKLMNPRSTUVXZ')}{rng.randint(10, 9999)}"
    return rng.choice([serial, f"{rng.randint(0, 9)}.{rng.randint(0, 20)}", str(rng.randint(1000, 99999))])


VALUES: dict[str, Callable[[random.Random], str]] = {
    "person": person,
    "place": lambda rng: syllables(rng, 1, 3) + rng.choice(WORDS["town_ends"]),
    "river": lambda rng: syllables(rng, 1, 2),
    "company": lambda rng: syllables(rng) + rng.choice(WORDS["company_ends"]),
    "title": lambda rng: rng.choice(WORDS["title_starts"]).format(syllables(rng)),
    "device": lambda rng: f"the {syllables(rng)} {rng.choice(WORDS['devices'])}",
    "identifier": identifier,
    "job": lambda rng: rng.choice(WORDS["jobs"]),
    "animal": lambda rng: rng.choice(WORDS["animals"]),
    "food": lambda rng: rng.choice(WORDS["foods"]),
    "colour": lambda rng: rng.choice(WORDS["colours"]),
    "material": lambda rng: rng.choice(WORDS["materials"]),
    "thing": lambda rng: rng.choice(WORDS["things"]),
    "phrase": lambda rng: " ".join(rng.sample(WORDS["words"], rng.randint(2, 4))),
    "year": lambda rng: str(rng.randint(1200, 2030)),
    "count": lambda rng: rng.choice([str(rng.randint(20, 999)), f"{rng.randint(2, 999)},{rng.randint(0, 999):03}"]),
    "small": lambda rng: str(rng.choice([rng.randint(2, 64), 2 ** rng.randint(1, 13), rng.randint(1, 100) * 10])),
    "money": lambda rng: f"{rng.randint(2, 950)} {rng.choice(WORDS['currencies'])}",
    "measure": lambda rng: f"{rng.randint(2, 950)} {rng.choice(WORDS['units'])}",
    "code": code,
}


class Pairs:
    """Passages of bare `name: value` pairs: the least there is to look up, and much of it in few tokens."""

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        kind = rng.choice(sorted(VALUES))
        names = sorted(name for name in {person(rng) for _ in range(count * 6)} if not held_out(name))
        size = max(1, min(len(names) // count, max_words // 3))
        return [self._passage(rng, kind, names[start : start + size]) for start in range(0, count * size, size)]

    def _passage(self, rng: random.Random, kind: str, names: list[str]) -> Passage:
        pairs = [(name, VALUES[kind](rng)) for name in names]
        return Passage("; ".join(f"{name}: {value}" for name, value in pairs), pairs)


class Invented:
    """A source of passages. With `evaluation`, only held-out names, and the held-out wording if `unseen_wording`."""

    def __init__(self, evaluation: bool = False, unseen_wording: bool = False) -> None:
        self.evaluation = evaluation
        self.unseen_wording = unseen_wording

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        domains = rng.sample(sorted(DOMAINS), rng.choice([1, 1, 2, 3]))
        used: set[str] = set()
        return [self._passage(rng, domains, max(1, min(6, max_words // 9)), used) for _ in range(count)]

    def _passage(self, rng: random.Random, domains: list[str], max_facts: int, used: set[str]) -> Passage:
        left = rng.randint(1, max_facts)
        parts: list[Passage] = []
        while left > 0:
            num_facts = rng.randint(1, min(3, left))
            parts.append(self._thing(rng, rng.choice(domains), num_facts, used))
            left -= num_facts
        return Passage(
            " ".join(part.text for part in parts),
            [question for part in parts for question in part.questions],
            [question for part in parts for question in part.unanswerable],
        )

    def _thing(self, rng: random.Random, domain: str, num_facts: int, used: set[str]) -> Passage:
        kind, relations = DOMAINS[domain]
        name = self._name(rng, kind, used)
        *stated, silent = rng.sample(relations, num_facts + 1)
        sentences, questions = [], []
        for relation in stated:
            value = VALUES[relation.kind](rng)
            sentences.append(self._sentence(rng, relation, name, value))
            questions.append((self._ask(rng, relation, name), value))
        return Passage(" ".join(sentences), questions, [self._ask(rng, silent, name)])

    def _name(self, rng: random.Random, kind: str, used: set[str]) -> str:
        while True:
            name = VALUES[kind](rng)
            if name not in used and held_out(name) == self.evaluation:
                used.add(name)
                return name

    def _sentence(self, rng: random.Random, relation: Relation, name: str, value: str) -> str:
        sentence = rng.choice(relation.statements).format(e=name, v=value)
        opening = rng.choice(WORDS["openings"])
        if opening and not sentence.startswith("The "):
            return opening + sentence
        capitalised = sentence[0].upper() + sentence[1:]
        return capitalised if value in capitalised else sentence

    def _ask(self, rng: random.Random, relation: Relation, name: str) -> str:
        wordings = relation.questions[-1:] if self.unseen_wording else relation.questions[:-1]
        question = rng.choice(wordings).format(e=name)
        return question if rng.random() < 0.9 or self.evaluation else question.lower()
