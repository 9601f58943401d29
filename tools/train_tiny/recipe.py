"""What is trained on when: batch size, learning rate, length of rows and shares of lessons, by step.

There are three courses: the first starts from random weights, each of the others from the result of the one before it,
with new state in the optimizers. Knows nothing of how rows are made or steps are taken. Invariant: before the decay
begins, nothing here depends on how long a course will be.
"""

from __future__ import annotations

from dataclasses import dataclass

from .lessons import Refusals
from .rows import Emphasis

TOKENS_PER_STEP = 4096  # of all workers together
READING = {
    "invented": 34,
    "squad": 22,
    "wikitext": 9,
    "docs": 9,
    "pubmed": 3,
    "sentences": 8,
    "quire": 5,
    "text": 7,
    "chat": 3,
}
COPYING = {"copy": 36, "pairs": 24, "invented": 24, "squad": 8, "quire": 2, "text": 4, "chat": 2}
BOTH = {name: READING.get(name, 0) + COPYING.get(name, 0) // 6 for name in {**READING, **COPYING}}


# The second course: real questions above all. Disguised SQuAD and cloze questions teach where to look, by the words of
# the question, and what to quote, by its question word.
ANSWERING = {
    "disguised": 30,
    "cloze_wikipedia": 20,
    "cloze_docs": 10,
    "sentences": 6,
    "invented": 18,
    "pairs": 3,
    "quire": 5,
    "text": 4,
    "chat": 3,
    "copy": 1,
}


# Where to look, before what to quote: much of citing, and of finding a passage by words of it.
LOCATING = {
    "marks": 26,
    "located_disguised": 22,
    "located_cloze_wikipedia": 12,
    "located_cloze_docs": 6,
    "disguised": 12,
    "invented": 12,
    "pairs": 6,
    "quire": 2,
    "text": 2,
}
READY = ANSWERING | {"marks": 6, "located_disguised": 8, "located_cloze_wikipedia": 4, "copy": 0}

# The third course: questions about real text are answered with the whole sentence that says it, those about invented
# facts as before. Where a sentence starts is drilled on random tokens first.
STARTING = {
    "quotes": 24,
    "quoted_squad": 12,
    "quoted_disguised": 14,
    "gathered": 18,
    "quoted_cloze_wikipedia": 8,
    "quoted_cloze_docs": 4,
    "quoted_quire": 2,
    "invented": 10,
    "silent": 5,
    "marks": 2,
    "text": 3,
    "chat": 2,
}
QUOTING = STARTING | {
    "quotes": 10,
    "quoted_squad": 16,
    "gathered": 22,
    "quoted_cloze_docs": 8,
    "quoted_quire": 4,
    "invented": 13,
    "silent": 7,
    "text": 5,
}
# Copying is learnt by then, and where to look is what is wanting: more questions for which the number is enough.
FINDING = QUOTING | {
    "quotes": 4,
    "quoted_cloze_wikipedia": 6,
    "located_gathered": 9,
    "located_disguised": 4,
    "invented": 17,
    "silent": 11,
    "marks": 0,
}

# The fourth course: the same choice among four whole paragraphs. First where a few tokens stand in a long row, and how
# the sentence there begins, which takes few tokens to say and so is asked often over one context.
REACHING = {
    "marks": 12,
    "quotes": 22,
    "located_gathered": 12,
    "located_disguised": 12,
    "located_cloze_docs": 5,
    "opened_gathered": 12,
    "opened_disguised": 8,
    "opened_cloze_docs": 6,
    "opened_listed": 4,
    "invented": 6,
    "text": 2,
}
CHOOSING = {
    "quotes": 6,
    "opened_gathered": 10,
    "opened_disguised": 9,
    "opened_cloze_docs": 4,
    "opened_listed": 2,
    "opened_pages": 2,
    "located_gathered": 4,
    "located_disguised": 4,
    "gathered": 12,
    "quoted_squad": 7,
    "quoted_disguised": 9,
    "quoted_cloze_docs": 4,
    "quoted_quire": 2,
    "listed": 5,
    "pages": 4,
    "invented": 10,
    "silent": 6,
    "text": 5,
    "chat": 1,
}

# Much is uncertain in a long context, and refusing is then the likeliest answer: hardly any of it where text is real.
READING_ON = CHOOSING | {
    "quotes": 4,
    "opened_gathered": 7,
    "opened_disguised": 6,
    "opened_cloze_docs": 3,
    "gathered": 14,
    "quoted_squad": 9,
    "quoted_disguised": 12,
    "pages": 5,
    "silent": 7,
}

# Where to look is known by then; which sentence of it, and keeping to that where words come twice, is drilled on.
KEEPING = READING_ON | {"quotes": 14, "located_gathered": 2, "located_disguised": 2}
# The last of it, while the rate falls: all of these, and more of invented facts.
SETTLING = READING_ON | {"quotes": 8, "invented": 13, "silent": 8}

MANY_REFUSALS, FEW_REFUSALS, RARE_REFUSALS = Refusals(0.12, 0.0, 0.9), Refusals(0.05), Refusals(0.015)
EVEN, EMPHASIS = Emphasis(), Emphasis(3.0, 4.0)
QUOTED, CHOSEN = Emphasis(3.0, 4.0, choosing=2.0, copied=0.5), Emphasis(6.0, 4.0, choosing=2.0, copied=0.4)
KEPT_UP, COPIED = Emphasis(6.0, 4.0, choosing=2.0, copied=0.6), Emphasis(6.0, 4.0, choosing=2.0, copied=0.8)


@dataclass(frozen=True)
class Stage:
    """From step `start` on, rows have these lengths in turn, and the kinds of data.py come in these shares.

    `noise`: share of questions that lose a word or two; `reading`: words of the passages per token of a row (the rest
    is questions); `more_questions`: made by rule about a passage that people asked about; `brief`: share of the long
    drills that ask for the start of a quote alone.
    """

    start: int
    lengths: list[int]
    shares: dict[str, int]
    refusals: Refusals = MANY_REFUSALS
    emphasis: Emphasis = EVEN
    noise: float = 0.0
    reading: float = 0.42
    more_questions: int = 2
    brief: float = 0.6


@dataclass(frozen=True)
class Course:
    """Steps from `start` to `end` with a learning rate of their own, that rises for `warmup` steps and falls to `final`
    of it over the last `decay`."""

    start: int
    end: int
    warmup: int
    decay: int
    peak: float
    final: float = 0.0

    def learning_rate(self, step: int) -> float:
        rising, falling = (step - self.start + 1) / self.warmup, (self.end - step) / self.decay
        return self.peak * min(1.0, rising, self.final + (1 - self.final) * max(0.0, falling))


# Short rows first, and much of bare copying: what answers is built on it, and it is learnt there soonest.
STAGES = [
    Stage(0, [128], READING),
    Stage(809, [128], COPYING),
    Stage(1100, [128, 256], BOTH),
    Stage(1500, [128, 256, 256, 512], BOTH),
    Stage(1848, [256, 512, 512, 1024], BOTH),
    Stage(2498, [256, 256, 256, 512], ANSWERING, FEW_REFUSALS, EMPHASIS, noise=0.15),
    Stage(2643, [384, 384, 512], ANSWERING, FEW_REFUSALS, EMPHASIS, noise=0.15, reading=0.26, more_questions=3),
    Stage(2774, [192], LOCATING, FEW_REFUSALS, EMPHASIS, noise=0.1, reading=0.25),
    Stage(2994, [192, 256, 384], READY, FEW_REFUSALS, EMPHASIS, noise=0.1, reading=0.28),
    Stage(3290, [192, 256], STARTING, FEW_REFUSALS, QUOTED, noise=0.05, reading=0.3),
    Stage(3440, [256, 384, 512], QUOTING, FEW_REFUSALS, QUOTED, noise=0.1, reading=0.24),
    Stage(3680, [256, 384, 512, 768], FINDING, FEW_REFUSALS, CHOSEN, noise=0.1, reading=0.25),
    Stage(4000, [1024, 768, 1024, 512], REACHING, FEW_REFUSALS, CHOSEN, noise=0.05, reading=0.42),
    Stage(4250, [1024, 1024, 768, 256], CHOOSING, FEW_REFUSALS, CHOSEN, noise=0.05, reading=0.44),
    Stage(4477, [1024, 768, 1024, 384], READING_ON, RARE_REFUSALS, KEPT_UP, noise=0.05, reading=0.44),
    Stage(4699, [1024, 768, 1024, 384], KEEPING, RARE_REFUSALS, COPIED, noise=0.05, reading=0.44, brief=0.3),
    Stage(4863, [1024, 768, 1024, 384], SETTLING, RARE_REFUSALS, COPIED, noise=0.05, reading=0.44, brief=0.3),
]
COURSES = {
    "first": Course(0, 2498, warmup=200, decay=500, peak=2e-3),
    "second": Course(2498, 3290, warmup=100, decay=320, peak=1.5e-3),
    "third": Course(3290, 4000, warmup=50, decay=100, peak=1.5e-3, final=0.44),
    "fourth": Course(4000, 5180, warmup=50, decay=230, peak=1.5e-3),
}


def stage_of(step: int) -> Stage:
    return next(stage for stage in reversed(STAGES) if step >= stage.start)
