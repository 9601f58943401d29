"""Steps of a running engine, each with the time of its stages: for explaining the slow ones.

    with StepRecorder(engine) as recorder:     schedule   who runs, and which blocks
        …                                      prepare    arrays of the plan
        recorder.take()                        linear, attention, store, rows     the kernels of the model, by kind
                                               forward    what is left of it: Python, and torch's own operations
                                               sample     logits to tokens
                                               text       tokens to text, stop strings, outputs

While it is open, the methods of this one engine that begin a stage are read through the clock; an engine that nobody
records is as it was. What that costs a step: `quire bench overhead --tail`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter
from types import TracebackType
from typing import Any

from quire.bench.machine.pauses import Pauses
from quire.bench.tail import Event
from quire.engine.engine import LLMEngine
from quire.kernels import KernelClock
from quire.scheduling.scheduler import ScheduledBatch

KIND = "steps"
KERNELS = ("linear", "attention", "store", "rows")
"""The stages that are kernels of the model."""


class StepRecorder:
    def __init__(self, engine: LLMEngine) -> None:
        self._engine = engine
        self._events: list[Event] = []
        self._spent_s: dict[str, float] = {}
        self._plan: dict[str, float] = {}
        self._kernels = KernelClock()
        self._pauses = Pauses()
        self._stack = ExitStack()

    def __enter__(self) -> "StepRecorder":
        engine, runner = self._engine, self._engine._runner
        self._stack.enter_context(self._pauses)
        for owner, method, stage in (
            (runner._builder, "build", "prepare"),
            (runner._sampler, "sample", "sample"),
            (engine, "_collect", "text"),
        ):
            self._instead(owner, method, self._clocked(getattr(owner, method), stage))
        self._instead(runner._executor, "execute", self._split(runner._executor.execute))
        self._instead(engine.scheduler, "schedule", self._noted(engine.scheduler.schedule))
        self._instead(engine, "step", self._recorded(engine.step))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def take(self) -> list[Event]:
        """What was recorded since it was last taken; steps in which nothing ran are none."""
        taken, self._events = self._events, []
        return taken

    def _instead(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        if name in vars(owner):
            self._stack.callback(setattr, owner, name, getattr(owner, name))
        else:
            self._stack.callback(delattr, owner, name)  # what the class says is found again
        setattr(owner, name, function)

    def _clocked(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            begin_s = perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._add(stage, perf_counter() - begin_s)

        return run

    def _split(self, execute: Callable[..., Any]) -> Callable[..., Any]:
        """Into the kinds of kernels that it calls, and what is left."""
        clocked = self._clocked(execute, "forward")

        def run(*args: Any, **kwargs: Any) -> Any:
            self._kernels.begin()
            try:
                return clocked(*args, **kwargs)
            finally:
                self._kernels.end()
                for kind, spent_s in self._kernels.take().items():
                    if spent_s:
                        self._add(kind, spent_s)
                        self._add("forward", -spent_s)

        return run

    def _noted(self, schedule: Callable[..., ScheduledBatch]) -> Callable[..., ScheduledBatch]:
        clocked = self._clocked(schedule, "schedule")

        def run(*args: Any, **kwargs: Any) -> ScheduledBatch:
            batch: ScheduledBatch = clocked(*args, **kwargs)
            self._plan = _facts(batch)  # before the step changes what is in it
            return batch

        return run

    def _recorded(self, step: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
        def run() -> list[Any]:
            self._spent_s, self._plan = {}, {}
            num_recordings, begin = self._num_recordings(), self._pauses.mark()
            outputs = step()
            total_ms = 1e3 * (perf_counter() - begin.wall_s)
            if self._plan.get("sequences"):
                facts = self._pauses.since(begin) | {"recordings": self._num_recordings() - num_recordings}
                stages_ms = {stage: 1e3 * spent_s for stage, spent_s in self._spent_s.items()}
                self._events.append(Event(total_ms, stages_ms, facts | self._plan))
            return outputs

        return run

    def _add(self, stage: str, spent_s: float) -> None:
        self._spent_s[stage] = self._spent_s.get(stage, 0.0) + spent_s

    def _num_recordings(self) -> float:
        graphs = getattr(self._engine._runner._executor, "_graphs", None)
        return 0 if graphs is None else len(graphs._graphs)


def _facts(batch: ScheduledBatch) -> dict[str, float]:
    return {
        "sequences": len(batch.sequences),
        "prompt_tokens": batch.num_prefill_tokens,
        "context_tokens": sum(seq.num_computed_tokens for seq in batch.sequences) + sum(batch.num_new_tokens),
        "preemptions": len(batch.preempted),
    }
