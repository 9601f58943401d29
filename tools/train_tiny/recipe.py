"""What is trained on when: batch size, learning rate, length of rows and shares of lessons, by step.

Knows nothing of how rows are made or steps are taken. Invariant: before the decay begins, nothing here depends on how
long the run will be.
"""

from __future__ import annotations

from dataclasses import dataclass

TOKENS_PER_STEP = 4096  # of all workers together
LEARNING_RATE = 2e-3
STEPS, DECAY_STEPS = 2498, 500
WARMUP_STEPS = 200
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


@dataclass(frozen=True)
class Stage:
    """From step `start` on, rows have these lengths in turn, and the kinds of data.py come in these shares."""

    start: int
    lengths: list[int]
    shares: dict[str, int]


# Short rows first, and much of bare copying: what answers is built on it, and it is learnt there soonest.
STAGES = [
    Stage(0, [128], READING),
    Stage(809, [128], COPYING),
    Stage(1100, [128, 256], BOTH),
    Stage(1500, [128, 256, 256, 512], BOTH),
    Stage(1848, [256, 512, 512, 1024], BOTH),
]


def stage_of(step: int) -> Stage:
    return next(stage for stage in reversed(STAGES) if step >= stage.start)


def learning_rate(step: int, steps: int, decay: int) -> float:
    return LEARNING_RATE * min(1.0, (step + 1) / WARMUP_STEPS, max(0.0, (steps - step) / decay))
