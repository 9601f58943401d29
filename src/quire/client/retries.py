"""When a request is sent again: one that a server refused for now, or that did not reach it. Never one that was begun.

The server's `Retry-After` is honoured; where it says nothing, waits double, with jitter so that clients do not come
back all at once.
"""

import random
from dataclasses import dataclass

from quire.errors import ServerError, ServerUnreachableError

_REFUSED_FOR_NOW = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_retries: int = 2
    """0: every error is told at once."""
    max_wait_s: float = 60.0
    """A longer `Retry-After` is not waited for: the error is told at once."""
    first_wait_s: float = 0.5
    """Where the server names no time."""

    def wait_s(self, num_retries: int, error: Exception) -> float | None:
        """How long to wait after this error, when so many retries failed before; None: do not try again."""
        if num_retries >= self.max_retries or not is_passing(error):
            return None
        asked_s = error.retry_after_s if isinstance(error, ServerError) else None
        if asked_s is None:
            asked_s = self.first_wait_s * 2**num_retries
        return asked_s * random.uniform(1.0, 1.25) if asked_s <= self.max_wait_s else None


def is_passing(error: Exception) -> bool:
    """Whether coming again may help, and repeats nothing."""
    if isinstance(error, ServerUnreachableError):
        return not error.was_sent
    return isinstance(error, ServerError) and error.status in _REFUSED_FOR_NOW
