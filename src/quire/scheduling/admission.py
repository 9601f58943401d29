"""Who may come in: rate limits over a moving window, caps on the queue, and deadlines that can still be met.

    admit(key, …) ──▶ Refused(reason, retry_after_s, kind)     kind "quota": the caller's own limit    (HTTP 429)
          │                                                    kind "capacity": ours                   (HTTP 503)
          └─────────▶ Admitted ──▶ started(admitted) ──▶ finished(admitted)
                         queued              running           gone

`finished` must follow every admission, however it ends, also when it never started. Repeating a call does nothing.

A request for n completions counts as n requests and as its prompt tokens and n times its output tokens. Only what is
admitted counts, so to be refused costs nothing. What it claims of the process's budget of tokens is reserved for the
engine to take over. In any stretch of `window_s`, no more than rate x `window_s` is
admitted (`meters.Meter`).

A deadline can be met if what goes before it in the queue, at the rate at which the queue was drained lately, and then
the time that a request of this size took lately, end before it. Until something was measured, and while nothing is in
the house (else a slow spell would never be measured away), every deadline can.

Thread safety: all methods, under one lock held for a few microseconds. Memory: O(queued and running requests) plus
a bounded amount per key, for at most `max_keys` keys (rates.py).
Invariant: what is queued is the sum of the tickets that have not started.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quire.errors import ConfigError, shown
from quire.scheduling.backlog import Backlog
from quire.scheduling.meters import FadingRatio
from quire.scheduling.rates import NO_LIMIT, RateLimit, Rates, Refused

if TYPE_CHECKING:  # the command line reads the limits, and is not to wait for numpy
    from quire.cache.token_budget import TokenBudget, Tokens

UNMEASURED_RETRY_S = 1.0
"""When to try again while the rate of draining is not known."""

SERVICE_MEMORY = 0.95
"""How much of the measured service time survives each finished request."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    per_key: RateLimit = NO_LIMIT
    in_all: RateLimit = NO_LIMIT
    window_s: float = 10.0
    """Seconds over which rates are held. Longer lets bursts through, shorter smooths."""
    max_queued_requests: int | None = None
    max_queued_tokens: int | None = None
    max_keys: int = 10_000

    def __post_init__(self) -> None:
        _check_positive("window_s", self.window_s)
        for name in ("max_queued_requests", "max_queued_tokens", "max_keys"):
            if getattr(self, name) is not None:
                _check_positive(name, getattr(self, name))
        for whose, limit in (("per_key", self.per_key), ("in_all", self.in_all)):
            for name in ("requests_per_s", "tokens_per_s"):
                self._check_rate(f"{whose}.{name}", getattr(limit, name))

    def rates(self) -> Rates:
        """A new account of what is admitted under these limits."""
        return Rates(self.per_key, self.in_all, window_s=self.window_s, max_keys=self.max_keys)

    def _check_rate(self, name: str, rate: float | None) -> None:
        if rate is None:
            return
        _check_positive(name, rate)
        if rate * self.window_s < 1:
            raise ConfigError(
                f"{name} is {rate} over a window_s of {self.window_s}, which admits nothing; "
                f"allowed: at least one in a window. Raise window_s to {math.ceil(1 / rate)} or more."
            )


def _check_positive(name: str, value: float) -> None:
    if not (isinstance(value, (int, float)) and 0 < value < math.inf):
        raise ConfigError(f"{name} is {shown(value)}; allowed: a number above 0, or None for no limit.")


@dataclass(frozen=True, slots=True)
class Admitted:
    ticket: int
    num_requests: int
    num_tokens: int


@dataclass(slots=True)
class _Ticket:
    num_requests: int
    num_tokens: int
    deadline_s: float
    owners: tuple[Hashable, ...]
    """Under whom it has reserved tokens."""
    started_s: float | None = None


class AdmissionController:
    def __init__(
        self,
        limits: AdmissionLimits,
        *,
        budget: "TokenBudget | None" = None,
        is_by_deadline: bool = False,
        rates: Rates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_by_deadline` says that the queue is served so (the `slo` policy), and not in the order of arrival.
        `budget` is the account that the engine holds its requests in. `rates` are shared with controllers of other
        queues; those of `limits` unless given."""
        self.limits = limits
        self._budget = budget
        self._clock = clock
        self._rates = rates or limits.rates()
        self._lock = self._rates.lock
        self._tickets: dict[int, _Ticket] = {}
        self._next_ticket = 0
        self._backlog = Backlog(is_by_deadline=is_by_deadline)
        self._service = FadingRatio(SERVICE_MEMORY)
        """Seconds from start to finish, per token of the request."""

    def admit(
        self,
        key: str,
        num_prompt_tokens: int,
        num_output_tokens: int,
        *,
        n: int = 1,
        slo_ms: float | None = None,
        claims: "Mapping[Hashable, Tokens] | None" = None,
    ) -> Admitted | Refused:
        """Counts the request in, or says why not and when to come again.

        claims     what to reserve in the budget, and under whom: all or none, and given back when it is `finished`.
        """
        if n < 1 or num_prompt_tokens < 0 or num_output_tokens < 0:
            given = f"n={n}, num_prompt_tokens={num_prompt_tokens}, num_output_tokens={num_output_tokens}"
            raise ValueError(f"{given}; allowed: n of at least 1, no negative number of tokens.")
        num_tokens = num_prompt_tokens + n * num_output_tokens
        asked = {"requests": n, "tokens": num_tokens}
        with self._lock:
            now_s = self._clock()
            self._backlog.advance(now_s)
            usage, in_all = self._rates.usage_of(key, now_s), self._rates.in_all
            refused = (
                usage.refusal(asked, now_s, "quota")
                or in_all.refusal(asked, now_s, "capacity")
                or self._queue_refusal(asked)
                or self._slo_refusal(num_tokens, slo_ms, now_s)
                or self._budget_refusal(claims or {})
            )
            if refused is not None:
                return refused
            usage.add(asked, now_s)
            in_all.add(asked, now_s)
            return self._enqueue(_Ticket(n, num_tokens, _deadline_s(slo_ms, now_s), tuple(claims or ())))

    def started(self, admitted: Admitted) -> None:
        """The request left the queue and runs."""
        with self._lock:
            ticket = self._tickets.get(admitted.ticket)
            if ticket is None or ticket.started_s is not None:
                return
            self._leave_queue(ticket, is_drained=True)
            ticket.started_s = self._clock()

    def finished(self, admitted: Admitted) -> None:
        """The request is over, served or not, from wherever it was."""
        with self._lock:
            ticket = self._tickets.pop(admitted.ticket, None)
            if ticket is None:
                return
            if self._budget is not None:
                for owner in ticket.owners:
                    self._budget.release(owner)
            if ticket.started_s is None:
                self._leave_queue(ticket, is_drained=False)
            else:
                self._service.add(self._clock() - ticket.started_s, ticket.num_tokens)

    @property
    def num_keys(self) -> int:
        return len(self._rates.by_key)

    @property
    def num_queued_requests(self) -> int:
        return self._backlog.num_requests

    @property
    def num_queued_tokens(self) -> int:
        return self._backlog.num_tokens

    @property
    def drain_tokens_per_s(self) -> float | None:
        """The measured rate at which the queue empties; None until there was one."""
        return self._backlog.drain_tokens_per_s

    def expected_s(self, num_tokens: int, slo_ms: float | None = None) -> float:
        """How long a request that comes now would take, from the measured rates; 0 where nothing was measured."""
        with self._lock:
            return self._expected_s(num_tokens, _deadline_s(slo_ms, self._clock()))

    def _expected_s(self, num_tokens: int, deadline_s: float) -> float:
        wait_s = self._backlog.drain_s(self._backlog.num_tokens_ahead(deadline_s))
        return (wait_s or 0.0) + num_tokens * self._service.value

    def _queue_refusal(self, asked: Mapping[str, int]) -> Refused | None:
        for unit, queued, cap in (
            ("requests", self.num_queued_requests, self.limits.max_queued_requests),
            ("tokens", self.num_queued_tokens, self.limits.max_queued_tokens),
        ):
            more = asked[unit]
            if cap is None or queued + more <= cap:
                continue
            if more > cap:
                return Refused(f"{more} {unit} are more than the queue holds ({cap}).", None, "capacity")
            share_over = (queued + more - cap) / queued
            retry_s = self._backlog.drain_s(share_over * self.num_queued_tokens)
            reason = f"{more} more {unit} after {queued} in the queue, which holds {cap}."
            return Refused(reason, retry_s or UNMEASURED_RETRY_S, "capacity")  # a queue of no tokens drains in no time
        return None

    def _budget_refusal(self, claims: "Mapping[Hashable, Tokens]") -> Refused | None:
        """None once they are reserved."""
        short = None if self._budget is None else self._budget.reserve_all(claims)
        if short is None:
            return None
        if short.asked > short.limit:
            reason = f"{short.asked} {short.kind} tokens are more than all may hold together ({short.limit})."
            return Refused(reason, None, "capacity")
        retry_s = self._backlog.drain_s(short.asked - short.available)
        reason = f"{short.asked} more {short.kind} tokens, of which {short.available} are left of {short.limit}."
        return Refused(reason, UNMEASURED_RETRY_S if retry_s is None else retry_s, "capacity")

    def _slo_refusal(self, num_tokens: int, slo_ms: float | None, now_s: float) -> Refused | None:
        if slo_ms is None or not self._tickets:
            return None
        expected_s = self._expected_s(num_tokens, _deadline_s(slo_ms, now_s))
        if expected_s <= slo_ms / 1e3:
            return None
        reason = f"Would take about {expected_s * 1e3:.0f} ms at the present load; wanted within {slo_ms:g} ms."
        return Refused(reason, expected_s - slo_ms / 1e3, "capacity")

    def _enqueue(self, ticket: _Ticket) -> Admitted:
        self._backlog.add(ticket.num_requests, ticket.num_tokens, ticket.deadline_s)
        self._next_ticket += 1
        self._tickets[self._next_ticket] = ticket
        return Admitted(self._next_ticket, ticket.num_requests, ticket.num_tokens)

    def _leave_queue(self, ticket: _Ticket, *, is_drained: bool) -> None:
        self._backlog.advance(self._clock())
        self._backlog.remove(ticket.num_requests, ticket.num_tokens, ticket.deadline_s, is_drained=is_drained)

    def check_invariants(self) -> None:
        with self._lock:
            queued = [ticket for ticket in self._tickets.values() if ticket.started_s is None]
            assert self.num_queued_requests == sum(ticket.num_requests for ticket in queued)
            assert self.num_queued_tokens == sum(ticket.num_tokens for ticket in queued)
            self._rates.check_invariants()


def _deadline_s(slo_ms: float | None, now_s: float) -> float:
    return math.inf if slo_ms is None else now_s + slo_ms / 1e3
