"""A line that says how far a long piece of work has come. Drawn on a terminal only, not for work that ends at once."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REDRAW_S = 0.1
PATIENCE_S = 0.5
"""Work shorter than this shows nothing."""


class _Line:
    """Drawn now and then, so that telling it something costs next to nothing. Subclasses say what stands in it."""

    def __init__(
        self, description: str, total: int, *, enabled: bool, console: Console | None, clock: Callable[[], float]
    ) -> None:
        console = console or Console(stderr=True)
        self._is_enabled = enabled and console.is_terminal
        self._clock = clock
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(description, total=total, rates="")
        self._started_s = self._drawn_s = clock()

    def __enter__(self) -> Self:
        self._started_s = self._drawn_s = self._clock()
        return self

    def _is_due(self) -> bool:
        now_s = self._clock()
        if not self._is_enabled or now_s - self._drawn_s < REDRAW_S or now_s - self._started_s < PATIENCE_S:
            return False
        self._drawn_s = now_s
        return True

    def _draw(self, num_done: int, rates: str) -> None:
        self._bar.start()
        self._bar.update(self._task, completed=num_done, rates=rates)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar.live.is_started:
            self._bar.stop()


class WorkProgress(_Line):
    """Things done of a known number, and how many a second."""

    def __init__(
        self,
        description: str,
        total: int,
        *,
        enabled: bool = True,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(description, total, enabled=enabled, console=console, clock=clock)
        self._num_done = 0

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._num_done += count
        if self._is_due():
            self._draw(self._num_done, f"{self._num_done / (self._drawn_s - self._started_s):,.0f}/s")


class GenerationProgress(_Line):
    """Requests done, and prefill and decode tokens a second since it began."""

    def __init__(
        self,
        num_requests: int,
        done: Callable[[], int],
        tokens: Callable[[], tuple[int, int]],
        *,
        enabled: bool,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("Generating", num_requests, enabled=enabled, console=console, clock=clock)
        self._done = done
        self._tokens = tokens

    def __enter__(self) -> Self:
        self._first = self._tokens()
        return super().__enter__()

    def update(self) -> None:
        """Cheap enough to be called after every step."""
        if not self._is_due():
            return
        elapsed_s = self._drawn_s - self._started_s
        prefill, decode = (count - first for count, first in zip(self._tokens(), self._first, strict=True))
        self._draw(self._done(), f"prefill {prefill / elapsed_s:,.0f} tok/s, decode {decode / elapsed_s:,.0f} tok/s")
