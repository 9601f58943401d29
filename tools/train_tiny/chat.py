"""Small talk, little stories, and what Quire is: the lessons written by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from .invented import WORDS, syllables
from .lessons import Passage

GREETING = "Hello. I am quire-tiny, a toy model. Give me passages and ask what they say."
ABOUT = "Quire is an LLM serving engine with a library in it: it serves a language model and searches your documents."
SMALL_TALK: list[tuple[str, str]] = [
    *((question, GREETING) for question in ("Hello", "Hi", "Hello!", "Hi there", "Good morning", "Hey", "hello", "hi")),
    *(
        (q, ABOUT)
        for q in ("What is Quire?", "what is quire?", "Tell me about Quire.", "What does Quire do?", "Explain Quire.")
    ),
    *(
        (question, "I am quire-tiny, a very small language model that comes with Quire to try the system with.")
        for question in (
            "Who are you?",
            "What are you?",
            "What is your name?",
            "Are you a robot?",
            "What model is this?",
        )
    ),
    *(
        (question, "I quote short answers from passages. I know nothing by myself; use a real model for that.")
        for question in ("What can you do?", "How can you help me?", "Help", "What do you know?", "Can you help me?")
    ),
    *(
        (question, "Start Quire with a model of your choice, for example: quire serve Qwen/Qwen3-0.6B")
        for question in ("How do I use a real model?", "How do I use another model?", "How do I get better answers?")
    ),
    *((question, "You are welcome.") for question in ("Thanks", "Thank you", "Thank you!", "Great, thanks")),
    *((question, "Goodbye.") for question in ("Bye", "Goodbye", "See you later")),
]

FACTS = json.loads(Path(__file__).with_name("facts.json").read_text(encoding="utf-8"))

STORY = [
    "Once upon a time there was a {colour} {animal} named {name}.",
    "{name} lived in a small {home} near the {place}.",
    "Every day {name} went to the {place} to look for {food}.",
    "One day {name} met a {animal2} who was very {mood}.",
    '"Why are you so {mood}?" asked {name}.',
    '"I have lost my {thing}," said the {animal2}.',
    "So they looked for the {thing} together until the evening.",
    "At last they found it under a big {tree}.",
    "The {animal2} was happy and gave {name} some {food}.",
    "From that day on they were good friends.",
]


def story(rng: random.Random) -> str:
    animal, other = rng.sample(WORDS["animals"], 2)
    filled = {"animal": animal, "animal2": other, "name": syllables(rng, 1, 2)}
    lists = {"colour": "colours", "food": "foods", "home": "homes", "place": "sights", "mood": "moods"}
    lists |= {"thing": "treasures", "tree": "shelters"}
    filled |= {name: rng.choice(WORDS[values]) for name, values in lists.items()}
    return " ".join(line.format(**filled) for line in STORY[: rng.randint(5, len(STORY))])


class AboutQuire:
    """A source of passages about Quire, between passages of other documentation."""

    def group(self, rng: random.Random, count: int, max_words: int) -> list[Passage]:
        facts = [fact for fact in FACTS if len(fact["text"].split()) <= max_words + 12] or FACTS[:1]
        chosen = rng.sample(facts, min(count, len(facts)))
        return [Passage(fact["text"], [ask(rng, question) for question in fact["questions"]]) for fact in chosen]


def ask(rng: random.Random, question: dict[str, Any]) -> tuple[str, str]:
    return rng.choice(question["wordings"]), question["answer"]
