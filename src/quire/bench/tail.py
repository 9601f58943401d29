"""Why the slowest hundredth was slow: which stage took longer than it usually does, and what was different then.

An event is one step of an engine or one search, with the time of its stages and facts about it. Knows nothing of how
they were recorded. Stages may overlap; what none of them covers is `rest`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

SHARE = 0.01
NOTABLE = 1.5
"""A fact is told where it is so many times more, or less, than it usually is."""
REST = "rest"
WORDS = {
    "sequences": "sequences in the batch",
    "prompt_tokens": "prompt tokens computed",
    "context_tokens": "tokens of context",
    "preemptions": "sequences preempted",
    "recordings": "sizes of decode steps recorded",
    "words": "words in the question",
    "collector_ms": "ms of Python's garbage collector",
    "away_ms": "ms in which the thread did not run: others had the core, or it waited for other threads",
}


@dataclass(frozen=True, slots=True)
class Event:
    total_ms: float
    stages_ms: Mapping[str, float]
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """A stage in ms, or a fact: on average among the slow, and the median of all."""

    name: str
    slow: float
    median: float

    @property
    def excess(self) -> float:
        return self.slow - self.median

    @property
    def is_notable(self) -> bool:
        high, low = max(self.slow, self.median), min(self.slow, self.median)
        return high > 0 and high >= NOTABLE * low and high - low >= 0.05


@dataclass(frozen=True, slots=True)
class Tail:
    kind: str
    """What the events are: steps, searches."""
    count: int
    num_slow: int
    total: Part
    stages: tuple[Part, ...]
    facts: tuple[Part, ...]

    @property
    def cause(self) -> Part:
        """The stage that made most of the difference."""
        return max(self.stages, key=lambda stage: stage.excess)

    def share(self, stage: Part) -> float:
        """Of the time of the slow ones."""
        return stage.slow / self.total.slow if self.total.slow else math.nan

    def text(self) -> str:
        """What a person reads: a sentence or two, and a line per stage."""
        return "\n".join([*self._sentences(), *self._lines()])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Tail":
        stages, facts = (tuple(Part(**part) for part in data[name]) for name in ("stages", "facts"))
        return cls(data["kind"], data["count"], data["num_slow"], Part(**data["total"]), stages, facts)

    def _sentences(self) -> Iterator[str]:
        longer, cause = self.total.excess, self.cause
        yield (
            f"The slowest {self.num_slow:,} of {self.count:,} {self.kind} took {_short(self.total.slow)} ms, where the "
            f"median is {_short(self.total.median)}; {cause.name} makes {_short(cause.excess)} of the "
            f"{_short(longer)} ms between them."
        )
        told = [part for part in self.facts if part.is_notable]
        if told:
            yield "In them: " + "; ".join(
                f"{_short(part.slow)} {WORDS.get(part.name, part.name)} (else {_short(part.median)})" for part in told
            )

    def _lines(self) -> Iterator[str]:
        for stage in sorted(self.stages, key=lambda stage: -stage.slow):
            yield f"  {stage.name:10} {self.share(stage):6.1%}  {stage.slow:9.3f} ms, median {stage.median:.3f}"


def tail_of(kind: str, events: Sequence[Event], share: float = SHARE) -> Tail:
    """Of the slowest `share` of the events, at least one. `REQUIRES:` an event."""
    slow = sorted(events, key=lambda event: -event.total_ms)[: max(1, round(share * len(events)))]
    stages = dict.fromkeys(name for event in events for name in event.stages_ms)
    facts = dict.fromkeys(name for event in events for name in event.facts)
    return Tail(
        kind,
        len(events),
        len(slow),
        Part("total", fmean(e.total_ms for e in slow), median(e.total_ms for e in events)),
        (
            *(_part(name, [e.stages_ms for e in slow], [e.stages_ms for e in events]) for name in stages),
            _part(REST, [_rest(e) for e in slow], [_rest(e) for e in events]),
        ),
        tuple(_part(name, [e.facts for e in slow], [e.facts for e in events]) for name in facts),
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _part(name: str, slow: Sequence[Mapping[str, float]], everyone: Sequence[Mapping[str, float]]) -> Part:
    return Part(name, fmean(e.get(name, 0.0) for e in slow), median(e.get(name, 0.0) for e in everyone))


def _rest(event: Event) -> dict[str, float]:
    return {REST: max(0.0, event.total_ms - math.fsum(event.stages_ms.values()))}
