"""Many may be inside together, or one alone. Who waits to be alone goes before those who come later.

Not reentrant: a thread that is inside must not ask again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Gate:
    def __init__(self) -> None:
        self._changed = Condition()
        self._num_inside = 0
        self._num_waiting = 0
        self._is_closed = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed and self._num_waiting == 0)
            self._num_inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_inside -= 1
                self._changed.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._changed:
            self._num_waiting += 1
            try:
                self._changed.wait_for(lambda: not self._is_closed and self._num_inside == 0)
            finally:
                self._num_waiting -= 1
                self._changed.notify_all()  # where Ctrl-C ended the wait: for those who waited behind it
            self._is_closed = True
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()
