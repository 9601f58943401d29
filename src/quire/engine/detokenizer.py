"""The text of one sequence as its tokens come, up to the stop string that ends it.

    decided              held
    [ safe to send ……… | could still become a stop string ]

The stop string that ends a sequence is the one completed first, and of those completed by the same character the
longest: the result does not depend on where tokens cut the text. Tokens that should leave no text (end-of-sequence, a
stop token id) are not appended.

Knows nothing of requests and of how a decoder works.
"""

from collections.abc import Sequence

from quire.models.text.incremental_decoder import IncrementalDecoder


class Detokenizer:
    __slots__ = (
        "_decided",
        "_decoder",
        "_held",
        "_include_stop",
        "_is_stopped",
        "_min_tokens",
        "_num_taken",
        "_num_tokens",
        "_stop_strings",
    )

    def __init__(
        self,
        decoder: IncrementalDecoder,
        stop_strings: Sequence[str] = (),
        include_stop: bool = False,
        min_tokens: int = 0,
    ) -> None:
        """A stop string counts when a token after the first `min_tokens` completes it. `include_stop` leaves it in the
        text."""
        self._decoder = decoder
        self._stop_strings = tuple(stop_strings)
        self._include_stop = include_stop
        self._min_tokens = min_tokens
        self._num_tokens = 0
        self._decided: list[str] = []
        self._num_taken = 0
        self._held = ""
        self._is_stopped = False

    def append(self, token_id: int) -> str | None:
        """The stop string that this token completes, or None. After a stop string no token may follow."""
        piece = self._decoder.push(token_id)
        if self._stop_strings:
            self._num_tokens += 1
            return self._search(piece) if piece else None
        if piece:
            self._decided.append(piece)
        return None

    def finish(self) -> str | None:
        """Decides what is left, when no more tokens come; the stop string it holds after all, or None. Changes nothing
        where a stop string has ended the text."""
        if self._is_stopped:
            return None
        piece = self._decoder.flush()
        stop = self._search(piece) if piece and self._stop_strings else None
        rest = self._held if self._stop_strings else piece
        self._held = ""
        self._decided.append(rest)
        return stop

    @property
    def text(self) -> str:
        """All text so far, what is held included."""
        return "".join(self._decided) + self._held

    def take_delta(self) -> str:
        """The text decided since the last call."""
        delta = "".join(self._decided[self._num_taken :])
        self._num_taken = len(self._decided)
        return delta

    def _search(self, piece: str) -> str | None:
        num_held, window = len(self._held), self._held + piece
        stop = self._first_completed(window, num_held) if self._num_tokens > self._min_tokens else None
        if stop is None:
            keep = self._num_undecided(window)
        else:
            start = window.index(stop, max(0, num_held + 1 - len(stop)))
            window = window[: start + len(stop) if self._include_stop else start]
            keep = 0
            self._is_stopped = True
        self._held = window[len(window) - keep :]
        self._decided.append(window[: len(window) - keep])
        return stop

    def _first_completed(self, window: str, num_held: int) -> str | None:
        """What ends in the held text was looked for already, or did not count then."""
        found = []
        for stop in self._stop_strings:
            start = window.find(stop, max(0, num_held + 1 - len(stop)))
            if start >= 0:
                found.append((start + len(stop), -len(stop), stop))
        return min(found)[2] if found else None

    def _num_undecided(self, window: str) -> int:
        """The length of the longest end of `window` that a stop string begins with."""
        longest = 0
        for stop in self._stop_strings:
            for length in range(min(len(stop) - 1, len(window)), longest, -1):
                if window.endswith(stop[:length]):
                    longest = length
                    break
        return longest
