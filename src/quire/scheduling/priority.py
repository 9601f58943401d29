"""Who goes next: each policy gives a sequence a key, and the lowest key goes first.

    fcfs      when it arrived
    priority  `params.priority`, lowest first; then when it arrived
    shortest  tokens still to compute and to make; a stream of short requests can keep a long one waiting for ever
    slo       how soon work on it must begin for its deadline to be met; see `LeastSlackFirst`

The same key chooses what to preempt: the running sequence with the highest one. Keys of one policy object compare only
with each other. Equal keys leave the queue in the order in which they entered it (`IndexedHeap`).

Knows sequences and measured speed, not blocks, queues or batches. Used from one thread.
Invariant: at a given time and with no `observe` in between, a sequence's key is the same each time it is asked for.
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from quire.config import SCHEDULING_POLICIES
from quire.errors import ConfigError, shown, suggest
from quire.scheduling.indexed_heap import IndexedHeap
from quire.scheduling.meters import FadingRatio
from quire.sequence import Sequence, SequenceStatus

PRIORITY_STEP_S = 2.0**32
"""Seconds that one level of priority is worth: more than any two arrivals are apart."""

SLACK_WEIGHT = 1.5
"""How much a second of slack counts against a second of waiting. At 1, an overloaded machine brings every request to
its last moment and then loses urgent and patient ones alike; above, the patient are given up first."""

RESERVED_SHARE = 0.1
"""The part of the machine that is kept for sequences without a deadline that can be met."""

TYPICAL_OUTPUT_TOKENS = 256
"""What a request that names no `max_tokens` is taken to want."""

RATE_MEMORY = 0.95
"""How much of the measured rates survives each step; 0.95 remembers about twenty steps."""

RATE_DRIFT = 0.1
"""The change of a rate, as a share of it, that makes the keys of a whole queue stale."""


class Policy(Protocol):
    @property
    def is_dynamic(self) -> bool:
        """Whether a waiting sequence's key can change."""

    @property
    def generation(self) -> int:
        """Rises when all keys given before may be stale. In between, `settle` before each look at the top is enough."""

    def key(self, seq: Sequence, now_s: float) -> float:
        """Lower goes first. `now_s` is on the clock of `seq.arrival_s`."""

    def observe(self, num_prefill_tokens: int, num_decode_tokens: int, step_s: float) -> None:
        """A step computed so many tokens of prompts and made so many of outputs, and took so long."""


def make_policy(name: str) -> Policy:
    if name == "slo":
        return LeastSlackFirst()
    ranks = {"fcfs": arrival, "priority": priority_then_arrival, "shortest": num_remaining_tokens}
    if name not in ranks:
        near = suggest(name, SCHEDULING_POLICIES)
        raise ConfigError(f"scheduling_policy is {shown(name)}; allowed: {', '.join(SCHEDULING_POLICIES)}.{near}")
    return StaticPolicy(ranks[name])


class StaticPolicy:
    """Orders by a fact about the sequence that does not change while it waits."""

    is_dynamic = False
    generation = 0

    def __init__(self, rank: Callable[[Sequence], float]) -> None:
        self._rank = rank

    def key(self, seq: Sequence, now_s: float) -> float:  # noqa: ARG002  the order is the same at any time
        return self._rank(seq)

    def observe(self, num_prefill_tokens: int, num_decode_tokens: int, step_s: float) -> None:
        """Speed does not matter here."""


def arrival(seq: Sequence) -> float:
    return seq.arrival_s


def priority_then_arrival(seq: Sequence) -> float:
    """One float holds both: arrivals are told apart to 1 ms at priorities up to ±1,000, to 1 s at ±1,000,000."""
    return seq.params.priority * PRIORITY_STEP_S + seq.arrival_s


def num_remaining_tokens(seq: Sequence) -> int:
    """Tokens still to compute and, at most, to make."""
    return seq.num_uncomputed_tokens + num_remaining_outputs(seq) * (1 + seq.num_forks)


def settle(waiting: IndexedHeap[Sequence], policy: Policy, now_s: float) -> None:
    """Refreshes the top of a queue until it is right: what cannot be met any more steps down when it gets there."""
    while len(waiting):
        seq, key = waiting.peek()
        key_now = policy.key(seq, now_s)
        if key_now == key:
            return
        waiting.update(seq, key_now)


def num_remaining_outputs(seq: Sequence) -> int:
    """Output tokens still to come, at most; a guess for a request that names no limit."""
    if seq.is_pooling:
        return 0
    limit = seq.max_tokens
    if seq.params.max_tokens is None:
        limit = min(limit, max(TYPICAL_OUTPUT_TOKENS, 2 * seq.num_output_tokens))
    return max(limit - seq.num_output_tokens, 0)


class LeastSlackFirst:
    """Least slack first, while the deadline can be met; those whose deadline cannot take turns in a reserved share.

        slack  = arrival + slo_ms - now - remaining work at the measured rate  =  arrival + spare - now
        spare  = slo_ms - remaining work
        key    = arrival + SLACK_WEIGHT x spare

    `now` is the same for all, so leaving it out changes no order and keys stay right as time passes. They change with
    the measured rate, which moves slowly (`generation`), and with a sequence's own progress, of which a waiting one
    makes none.

    Once the slack is used up, the deadline cannot be met, and to try would cost another request its own. Such a
    sequence, and one that has no `slo_ms`, is given a turn instead (`Sequence.turn_s`), once: turns are spaced as if
    these sequences had `RESERVED_SHARE` of the machine to themselves, in the order in which they ask. This is the
    ageing that keeps everyone from starving: a turn that has come goes before all that can still wait; and however
    many take turns, they cannot take more than that share from those in time. They also get whatever the others leave
    free. Should the machine turn out faster, a deadline that can be met again counts.
    """

    is_dynamic = True

    def __init__(self) -> None:
        self.generation = 0
        self._token_s = FadingRatio(RATE_MEMORY)
        """A token's share of a step that computes prompts; other steps are too empty to tell what a token costs."""
        self._decode_step_s = FadingRatio(RATE_MEMORY)
        """How long a decoding sequence waits for its next token."""
        self._rates_of_generation = (0.0, 0.0)
        self._line: deque[Sequence] = deque()
        """Sequences that were given a turn, in that order. Those at the ends that have left the queue are dropped."""

    def observe(self, num_prefill_tokens: int, num_decode_tokens: int, step_s: float) -> None:
        if num_prefill_tokens:
            self._token_s.add(step_s, num_prefill_tokens + num_decode_tokens)
        if num_decode_tokens:
            self._decode_step_s.add(step_s, 1)
        rates = (self._token_s.value, self._decode_step_s.value)
        if not all(map(_is_near, rates, self._rates_of_generation)):
            self._rates_of_generation = rates
            self.generation += 1

    def key(self, seq: Sequence, now_s: float) -> float:
        spare_s = self.spare_s(seq)
        if spare_s is None or seq.arrival_s + spare_s < now_s:
            return self._give_turn(seq, now_s) if seq.turn_s is None else seq.turn_s
        key = seq.arrival_s + SLACK_WEIGHT * spare_s
        return key if seq.turn_s is None else min(key, seq.turn_s)

    def spare_s(self, seq: Sequence) -> float | None:
        """How long after its arrival work must go on at the latest; None without a deadline."""
        return None if seq.params.slo_ms is None else seq.params.slo_ms / 1e3 - self.remaining_s(seq)

    def remaining_s(self, seq: Sequence) -> float:
        """How long the sequence needs from now on if it is never kept waiting. 0 before the first observation."""
        return seq.num_uncomputed_tokens * self._token_s.value + num_remaining_outputs(seq) * self._decode_step_s.value

    def _give_turn(self, seq: Sequence, now_s: float) -> float:
        self._forget_departed()
        last_turn_s = self._line[-1].turn_s if self._line else None
        begin_s = now_s if last_turn_s is None else max(now_s, last_turn_s)
        seq.turn_s = begin_s + num_remaining_tokens(seq) * self._token_s.value / RESERVED_SHARE
        self._line.append(seq)
        return seq.turn_s

    def _forget_departed(self) -> None:
        while self._line and self._line[-1].status is not SequenceStatus.WAITING:
            self._line.pop()
        while self._line and self._line[0].status is not SequenceStatus.WAITING:
            self._line.popleft()


def _is_near(rate: float, known: float) -> bool:
    return abs(rate - known) <= RATE_DRIFT * known
