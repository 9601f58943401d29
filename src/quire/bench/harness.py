"""The one way a number is measured here: warm up, repeat, take turns, watch memory and neighbours.

A benchmark is a module `quire.bench.<room>.<name>`. Its docstring's first line says what it measures, and it defines

    def cases(*, num_seqs: int = 256, quick: bool = False) -> list[Case]:

`quire bench <name> --num-seqs 64` calls it; the flags are made from the keyword arguments (int, float, str, bool, and
`tuple[int, ...]` as a comma list), so a knob is written once. It may also define `explain(report) -> str`: what bounds
the number, printed below the table; and `plot(report, path)`, which draws it (`plots.py`), for `--plot DIR`.

    Case("rms_norm", timed(lambda: rms_norm(x, weight, eps), calls=100), {"rows": 64})         times one call
    Case("serve", run, {"requests": 32}, side="quire", close=llm.close)                        measures itself

`run` returns a Measurement: numbers by metric name, the unit last (`step_us`, `output_tokens_per_s`), and, where one
repetition holds many events, the samples behind them; with the stages of each event, `tail.py` explains the slowest.
Sides of one question (same name and params) take turns, A B B A, so that a slow minute of the machine meets both.
Set-up belongs outside of `run`, or into its first call, which warm-up throws away. Benchmarks never assert.

Knows nothing of what is measured, of files or of tables (`results.py`).
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quire.bench.machine.memory import MemoryTrace
from quire.bench.machine.resources import Watch
from quire.bench.stats import Summary, percentiles
from quire.bench.tail import Event, Tail, tail_of

Param: TypeAlias = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One repetition."""

    values: Mapping[str, float]
    """One number per metric."""
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Single events (one latency per request); the repetitions' samples are pooled for percentiles."""
    events: Sequence[Event] = ()
    """Single events with their stages, where they were asked for: the slowest of all repetitions are explained."""
    kind: str = "events"
    """What the events are."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure, with the sizes it is measured at."""

    name: str
    run: Callable[[], Measurement]
    params: Mapping[str, Param] = field(default_factory=dict)
    side: str = "quire"
    """Whose number it is: ours, or a peer's on the same name and params."""
    close: Callable[[], object] | None = None
    """Gives back what `run` holds, after the last repetition."""

    @property
    def question(self) -> tuple[str, tuple[tuple[str, Param], ...]]:
        """Cases with the same question are sides of one comparison."""
        return self.name, tuple(sorted(self.params.items()))


@dataclass(slots=True)
class Result:
    """All repetitions of one case."""

    name: str
    side: str
    params: dict[str, Param]
    values: dict[str, list[float]] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    rss_peak_bytes: int = 0
    rss_delta_bytes: int = 0
    other_cpus: float | None = None
    """The busiest neighbour load of any repetition."""
    tail: Tail | None = None
    """Why the slowest were slow, where events were recorded."""
    memory: list[tuple[float, int]] = field(default_factory=list)
    """Seconds into the last repetition and resident bytes, where they were looked at."""

    def add(self, measurement: Measurement, watch: Watch) -> None:
        for metric, value in measurement.values.items():
            self.values.setdefault(metric, []).append(float(value))
        for metric, samples in measurement.samples.items():
            self.samples.setdefault(metric, []).extend(float(s) for s in samples)
        self.rss_peak_bytes = max(self.rss_peak_bytes, watch.rss_peak_bytes)
        self.rss_delta_bytes = max(self.rss_delta_bytes, watch.rss_delta_bytes)
        if watch.other_cpus is not None:
            self.other_cpus = max(self.other_cpus or 0.0, watch.other_cpus)

    def summary(self, metric: str) -> Summary:
        return Summary(tuple(self.values[metric]))

    def percentiles(self, metric: str) -> dict[str, float]:
        return percentiles(self.samples[metric])


def timed(function: Callable[[], object], *, calls: int = 1) -> Callable[[], Measurement]:
    """A `run` that calls `function` so many times and measures `call_us`, microseconds per call."""

    def run() -> Measurement:
        start = time.perf_counter()
        for _ in range(calls):
            function()
        return Measurement({"call_us": (time.perf_counter() - start) * 1e6 / calls})

    return run


def measure(
    cases: Sequence[Case],
    *,
    repetitions: int = 5,
    warmup: int = 1,
    traces_memory: bool = False,
    console: Console | None = None,
) -> list[Result]:
    """One result per case, in their order. A case's error ends the run, after everything was closed. With a console
    that is a terminal, a progress bar is drawn there."""
    if repetitions < 1 or warmup < 0:
        raise ValueError(f"repetitions is {repetitions} and warmup {warmup}; allowed: 1 or more, and 0 or more")
    results = {id(case): Result(case.name, case.side, dict(case.params)) for case in cases}
    events: dict[int, list[Event]] = {}
    total = len(cases) * (repetitions + warmup)
    with _progress(console) as bar:
        task = bar.add_task("", total=total)
        for case, is_warmup in _turns(cases, repetitions, warmup):
            bar.update(task, description=f"{case.name} ({case.side})")
            with MemoryTrace() if traces_memory and not is_warmup else nullcontext() as trace:
                measurement, watch = _run_once(case)
            if not is_warmup:
                results[id(case)].add(measurement, watch)
                results[id(case)].memory = trace.points if trace is not None else []
                events.setdefault(id(case), []).extend(measurement.events)
                if events[id(case)]:
                    results[id(case)].tail = tail_of(measurement.kind, events[id(case)])
            bar.advance(task)
    return [results[id(case)] for case in cases]


def _turns(cases: Sequence[Case], repetitions: int, warmup: int) -> Iterator[tuple[Case, bool]]:
    """Question by question, so that only one question's sides hold memory; within it A B, then B A, and so on."""
    questions: dict[object, list[Case]] = {}
    for case in cases:
        questions.setdefault(case.question, []).append(case)
    for sides in questions.values():
        try:
            for turn in range(warmup + repetitions):
                for case in sides if turn % 2 == 0 else reversed(sides):
                    yield case, turn < warmup
        finally:
            for case in sides:
                if case.close is not None:
                    case.close()


def _run_once(case: Case) -> tuple[Measurement, Watch]:
    gc.collect()
    with Watch() as watch:
        measurement = case.run()
    return measurement, watch


def _progress(console: Console | None) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    is_shown = console is not None and console.is_terminal
    return Progress(*columns, console=console, transient=True, disable=not is_shown)
