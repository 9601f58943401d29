"""Waiting for what must come: for longer than any machine takes, so that only what never comes ends a test."""

import time
from collections.abc import Callable

PATIENCE_S = 120


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.005)
