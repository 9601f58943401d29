"""Gathers single requests into batches: a batch closes when it is full, or when its oldest request has waited enough.

    MicroBatcher(max_batch, max_wait_ms, clock)     the rule alone: no threads, no sleeping, one caller
    BatchedCalls(run, max_batch, max_wait_ms)       the rule in front of `run(items) -> results`, for many callers

Larger `max_wait_ms` fills batches better and answers later; with 0, a batch is whatever came while the last one ran.

Knows nothing of what the items are.
Invariant: items leave in the order in which they came, and each leaves once; none waits longer than `max_wait_ms` for
company, though it may wait longer for the batches before it to be done.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import TIMEOUT_MAX, Condition, Thread, current_thread
from typing import Generic, TypeVar

from quire.errors import ConfigError, EngineClosedError, shown

T = TypeVar("T")
R = TypeVar("R")


class MicroBatcher(Generic[T]):
    def __init__(self, max_batch: int, max_wait_ms: float, clock: Callable[[], float] = time.monotonic) -> None:
        if max_batch < 1:
            raise ConfigError(f"max_batch is {shown(max_batch)}; allowed: 1 or more.")
        if not max_wait_ms >= 0:
            raise ConfigError(f"max_wait_ms is {shown(max_wait_ms)}; allowed: 0 or more milliseconds.")
        self.max_batch = max_batch
        self.max_wait_s = max_wait_ms / 1e3
        self._clock = clock
        self._items: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> None:
        self._items.append((self._clock(), item))

    @property
    def closes_in_s(self) -> float | None:
        """Until the next batch closes if nothing more comes; 0 when it is closed, None when there is nothing."""
        if not self._items:
            return None
        if len(self._items) >= self.max_batch:
            return 0.0
        return max(self._items[0][0] + self.max_wait_s - self._clock(), 0.0)

    def take(self) -> list[T]:
        """The oldest items, a batch at most, whether or not it is closed."""
        return [self._items.popleft()[1] for _ in range(min(self.max_batch, len(self._items)))]


class BatchedCalls(Generic[T, R]):
    """Many callers, one thread that runs batches.

    `run` gets 1 to `max_batch` items and returns one result for each, in order. If it raises, every caller of that
    batch gets the error, and the next batch runs. Any thread may call any method; an event loop awaits
    `asyncio.wrap_future(calls.submit(item))`. Cancelling a future before its batch has begun takes the item out.
    Invariant: one batch runs at a time, in the thread or in a caller's (`call`).
    """

    def __init__(self, run: Callable[[list[T]], Sequence[R]], max_batch: int, max_wait_ms: float) -> None:
        self._run = run
        self._batcher: MicroBatcher[tuple[T, Future[R]]] = MicroBatcher(max_batch, max_wait_ms)
        self._changed = Condition()
        self._is_closed = self._is_running = False
        self._thread = Thread(target=self._serve, name="quire-batched-calls", daemon=True)
        self._thread.start()

    def submit(self, item: T) -> "Future[R]":
        future: Future[R] = Future()
        with self._changed:
            if self._is_closed:
                raise EngineClosedError("These batched calls were closed; make new ones.")
            self._batcher.add((item, future))
            self._changed.notify()
        return future

    def call(self, item: T) -> R:
        """The result. Where nothing runs or waits, `run` is called here, in the caller's thread."""
        with self._changed:
            is_free = not (self._is_running or len(self._batcher) or self._is_closed)
            self._is_running |= is_free
        if not is_free:
            return self.submit(item).result()
        try:
            return self._results([item])[0]
        finally:
            self._end_of_batch()

    def close(self) -> None:
        """Runs what was submitted, then ends the thread; within `run` it does not wait for that. Repeating it does
        nothing."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> "BatchedCalls[T, R]":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _serve(self) -> None:
        while batch := self._next_batch():
            live = [(item, future) for item, future in batch if future.set_running_or_notify_cancel()]
            if live:
                self._answer([item for item, _ in live], [future for _, future in live])
            self._end_of_batch()

    def _next_batch(self) -> list[tuple[T, Future[R]]]:
        """Waits for a batch to close, and for its turn; empty when there is nothing left and never will be."""
        with self._changed:
            while True:
                wait_s = self._batcher.closes_in_s
                if self._is_running:
                    wait_s = None
                elif wait_s == 0.0 or self._is_closed:
                    self._is_running = True
                    return self._batcher.take()
                self._changed.wait(None if wait_s is None else min(wait_s, TIMEOUT_MAX))

    def _end_of_batch(self) -> None:
        with self._changed:
            self._is_running = False
            self._changed.notify()

    def _answer(self, items: list[T], futures: "list[Future[R]]") -> None:
        try:
            results = self._results(items)
        except BaseException as error:
            for future in futures:
                future.set_exception(error)
            return
        for future, result in zip(futures, results, strict=True):
            future.set_result(result)

    def _results(self, items: list[T]) -> Sequence[R]:
        results = self._run(items)
        if len(results) != len(items):
            raise RuntimeError(f"A batch of {len(items)} items gave {len(results)} results.")
        return results
