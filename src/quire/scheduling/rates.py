"""How much each key, and all together, may ask and did ask lately: rates over a moving window, and who is above them.

Knows no queue and no clock. One account serves all the queues of a process, under its own lock.
Invariant: no meter is above its budget; memory is bounded, as a key is forgotten when its window is empty, and beyond
`max_keys` the one that asked longest ago.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from quire.scheduling.meters import Meter


@dataclass(frozen=True, slots=True)
class RateLimit:
    """None: no limit."""

    requests_per_s: float | None = None
    tokens_per_s: float | None = None


NO_LIMIT = RateLimit()


@dataclass(frozen=True, slots=True)
class Refused:
    reason: str
    retry_after_s: float | None
    """None: never, the request alone is above a limit."""
    kind: Literal["quota", "capacity"]


class Rates:
    """What each key, and all together, were admitted lately: one account for all the queues of a process, whose
    controllers work under its lock."""

    def __init__(self, per_key: RateLimit, in_all: RateLimit, *, window_s: float, max_keys: int) -> None:
        self.lock = Lock()
        self.in_all = Usage(in_all, window_s)
        self.by_key: OrderedDict[str, Usage] = OrderedDict()
        self._per_key, self._window_s, self._max_keys = per_key, window_s, max_keys

    def usage_of(self, key: str, now_s: float) -> "Usage":
        """Of a key that asks now. REQUIRES: the lock."""
        usage = self.by_key.pop(key, None) or Usage(self._per_key, self._window_s)
        self.by_key[key] = usage
        while len(self.by_key) > 1:
            oldest = next(iter(self.by_key.values()))
            if len(self.by_key) <= self._max_keys and not oldest.is_empty(now_s):
                break
            self.by_key.popitem(last=False)
        return usage

    def check_invariants(self) -> None:
        assert len(self.by_key) <= self._max_keys
        for usage in (self.in_all, *self.by_key.values()):
            usage.check_invariants()


class Usage:
    """What one key, or all together, were admitted in the last window."""

    __slots__ = ("_meters",)

    def __init__(self, limit: RateLimit, window_s: float) -> None:
        rates = {"requests": limit.requests_per_s, "tokens": limit.tokens_per_s}
        self._meters = {unit: Meter(rate, window_s) for unit, rate in rates.items() if rate is not None}

    def is_empty(self, now_s: float) -> bool:
        return all(meter.total_at(now_s) == 0 for meter in self._meters.values())

    def refusal(self, asked: Mapping[str, int], now_s: float, kind: Literal["quota", "capacity"]) -> Refused | None:
        for unit, meter in self._meters.items():
            wait_s = meter.wait_s(asked[unit], now_s)
            if wait_s != 0:
                whose = "your limit" if kind == "quota" else "the limit of this server"
                was = f"{asked[unit]} more {unit} after {meter.total} in the last {meter.window_s:g} s"
                return Refused(f"{was}; {whose} is {meter.rate:g} a second.", wait_s, kind)
        return None

    def add(self, asked: Mapping[str, int], now_s: float) -> None:
        for unit, meter in self._meters.items():
            meter.add(asked[unit], now_s)

    def check_invariants(self) -> None:
        for meter in self._meters.values():
            meter.check_invariants()
