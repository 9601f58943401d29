"""A line that says how far a long piece of work has come. Drawn on a terminal only, not for work that ends at once."""

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

REDRAW_S = 0.1
PATIENCE_S = 0.5
"""Work shorter than this shows nothing."""


class GenerationProgress:
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
        self._done = done
        self._tokens = tokens
        self._num_requests = num_requests
        self._clock = clock
        console = console or Console(stderr=True)
        self._is_enabled = enabled and console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> "GenerationProgress":
        if self._is_enabled:
            self._started_s = self._drawn_s = self._clock()
            self._first = self._tokens()
            self._task = self._bar.add_task("Generating", total=self._num_requests, rates="")
        return self

    def update(self) -> None:
        """Cheap enough to be called after every step."""
        if not self._is_enabled:
            return
        now_s = self._clock()
        if now_s - self._drawn_s < REDRAW_S or now_s - self._started_s < PATIENCE_S:
            return
        self._drawn_s = now_s
        self._bar.start()
        elapsed_s = now_s - self._started_s
        prefill, decode = (count - first for count, first in zip(self._tokens(), self._first, strict=True))
        rates = f"prefill {prefill / elapsed_s:,.0f} tok/s, decode {decode / elapsed_s:,.0f} tok/s"
        self._bar.update(self._task, completed=self._done(), rates=rates)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
