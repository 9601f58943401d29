"""Rows of random tokens: nothing but copying, citing and quoting helps, so these are learnt there soonest.

Invariant: no token of a drill means anything, so what is learnt from it is where to look and never what to say.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .rows import NUM_CHOOSING, Row, join

LONG_ROW = 600  # tokens, above which passages are as long as real ones


@dataclass(frozen=True)
class Alphabet:
    """The tokens that drills are made of. `marks[n]` is the number `[n + 1]`."""

    words: list[int]
    marks: list[int]
    space: int  # before a mark
    line: int
    stop: int
    brief: list[int]  # before a question that is answered with the start of the sentence
    system: int
    user: int
    assistant: int
    end: int


@dataclass(frozen=True)
class Room:
    """What a row shows before it asks: a share of its tokens, and how many sentences a passage has of how many each."""

    shown: float
    sentences: int
    tokens: int


SHORT, LONG = Room(1 / 3, 4, 14), Room(0.6, 8, 26)


def room(length: int) -> Room:
    return LONG if length > LONG_ROW else SHORT


def copy_row(rng: random.Random, length: int, first: int, last: int) -> Row:
    """Runs of random tokens from `first` up to `last`, then the same runs in another order."""
    num_runs = rng.randint(1, 6)
    size = (length // 2 - num_runs) // num_runs
    runs = [[rng.randrange(first, last) for _ in range(size)] for _ in range(num_runs)]
    shown = Row([token for run in runs for token in run], [0.0] * (size * num_runs))
    again = [token for run in rng.sample(runs, num_runs) for token in run]
    return join(shown, Row(again, [float(index % size > 0) for index in range(len(again))]))


def marks_row(rng: random.Random, length: int, abc: Alphabet) -> Row:
    """Passages of random tokens; from one or two of them in a row, those that follow and the number of the passage:
    the least in which citing can be learnt, and much of it."""
    count = rng.randint(2, 5)
    size = int(length * room(length).shown) // count - 2
    tokens = rng.sample(abc.words, count * size)
    passages = [tokens[start : start + size] for start in range(0, count * size, size)]
    row = shown_row(abc, passages)
    while True:
        index, start = rng.randrange(count), rng.randrange(size - 3)
        known, wanted = rng.randint(1, 2), rng.randint(1, 3)
        asked, answer = passages[index][start : start + known], passages[index][start + known :][:wanted]
        more = turn(abc, asked, answer, index, [1.0] * len(answer))
        if len(row.ids) + len(more.ids) > length:
            return row
        row = join(row, more)


def quotes_row(rng: random.Random, length: int, abc: Alphabet, brief: float) -> Row:
    """Passages of sentences of random tokens; for a few tokens of one, out of order and among strange ones, the whole
    sentence and its number: the least in which quoting can be learnt. Some tokens are in many sentences, as common
    words are, so what follows in a quote depends on more than one token before it."""
    limits = room(length)
    count, per_passage = rng.randint(1, 4), rng.randint(1, limits.sentences)
    size = min(limits.tokens, max(4, int(length * limits.shown) // (count * per_passage)))
    is_brief = limits is LONG and rng.random() < brief
    words = rng.sample([word for word in abc.words if word not in (abc.stop, abc.line)], count * per_passage * size + 6)
    strange, common, tokens = words[:2], words[2:6], words[6:]
    parts = [tokens[start : start + size - 1] for start in range(0, len(tokens), size)]
    parts = [[*(rng.choice(common) if rng.random() < 0.3 else word for word in part[:-1]), part[-1]] for part in parts]
    groups = [parts[start : start + per_passage] for start in range(0, len(parts), per_passage)]
    row = shown_row(abc, [[token for part in group for token in (*part, abc.stop)] for group in groups])
    while True:
        index = rng.randrange(count)
        part = rng.choice(groups[index])
        telling = [word for word in part if word not in common]
        asked = rng.sample(telling, rng.randint(1, min(4, len(telling)))) + strange[: rng.randint(0, 2)]
        weights = [3.0, 2.0, *[1.0] * (len(part) - 1)]
        answer, weights = (part[:NUM_CHOOSING], weights[:NUM_CHOOSING]) if is_brief else ([*part, abc.stop], weights)
        asked = rng.sample(asked, len(asked))
        more = turn(abc, [*abc.brief, *asked] if is_brief else asked, answer, index, weights[: len(answer)])
        if len(row.ids) + len(more.ids) > length:
            return row
        row = join(row, more)


def shown_row(abc: Alphabet, passages: list[list[int]]) -> Row:
    """Numbered passages, which have no weight."""
    numbered = zip(abc.marks, passages, strict=False)
    ids = [abc.system, *(token for mark, passage in numbered for token in (mark, *passage, abc.line)), abc.end]
    return Row(ids, [0.0] * len(ids))


def turn(abc: Alphabet, asked: list[int], answer: list[int], index: int, weights: list[float]) -> Row:
    question = [abc.user, *asked, abc.end, abc.assistant]
    reply = [*answer, abc.space, abc.marks[index], abc.end]
    return Row(question + reply, [0.0] * len(question) + weights + [0.2, 4.0, 0.2])
