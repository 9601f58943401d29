"""One account of the tokens a process may hold: in the KV cache, as queued prompts, in context windows.

    reserve   an owner claims tokens of several kinds, all or none       available -> reserved
    commit    of its claim this much is in use, the rest goes back       reserved  -> committed, available
    hold      this much is in use, whatever the owner had before         any       -> committed
    release   the owner is done                                          both      -> available

An owner is whatever both sides of a hand-over know, usually a request id: admission reserves under it, the engine
holds and releases. Every held token has an owner (`owners`), so one that is lost can be named.

Invariants: available, reserved and committed are never negative; limit = available + reserved + committed, and the
last two are the sums over owners.

Cost: O(1). Threads: every call is atomic.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from threading import Lock

from quire.errors import CapacityError


@dataclass(frozen=True, slots=True)
class Tokens:
    """An amount of each kind."""

    kv: int = 0
    """Tokens whose KV is held."""
    prompt: int = 0
    """Prompt tokens accepted and not computed yet."""
    context: int = 0
    """Tokens that the context windows of running requests may grow to."""

    def __post_init__(self) -> None:
        if self.kv < 0 or self.prompt < 0 or self.context < 0:
            kind, amount = next((kind, amount) for kind in KINDS if (amount := getattr(self, kind)) < 0)
            raise ValueError(f"{kind} is {amount} tokens; allowed: 0 or more.")

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.kv + other.kv, self.prompt + other.prompt, self.context + other.context)

    def __sub__(self, other: "Tokens") -> "Tokens":
        """Raises ValueError where `other` is more."""
        return Tokens(self.kv - other.kv, self.prompt - other.prompt, self.context - other.context)

    def fits(self, limit: "Tokens") -> bool:
        return self.kv <= limit.kv and self.prompt <= limit.prompt and self.context <= limit.context


KINDS = tuple(field.name for field in fields(Tokens))
NONE = Tokens()
NO_LIMIT = 1 << 62
"""More tokens of a kind than there will ever be."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """The kind of which most is missing."""

    kind: str
    asked: int
    available: int
    limit: int


@dataclass(frozen=True, slots=True)
class BudgetStats:
    limit: Tokens
    available: Tokens
    reserved: Tokens
    committed: Tokens
    num_owners: int


class TokenBudget:
    def __init__(self, limit: Tokens) -> None:
        self.limit = limit
        self._lock = Lock()
        self._available = limit
        self._reserved: dict[Hashable, Tokens] = {}
        self._committed: dict[Hashable, Tokens] = {}

    @property
    def available(self) -> Tokens:
        return self._available

    def can_reserve(self, tokens: Tokens) -> bool:
        """What `reserve` would answer now; another thread may be quicker."""
        return tokens.fits(self._available)

    def reserve(self, owner: Hashable, tokens: Tokens) -> bool:
        """Adds `tokens` to what `owner` has reserved. False, and nothing reserved, if any kind has too few left."""
        return self.reserve_all({owner: tokens}) is None

    def reserve_all(self, claims: Mapping[Hashable, Tokens]) -> Shortage | None:
        """The same for several owners, all or none: None, or what there is too little of."""
        asked = _total(claims.values())
        with self._lock:
            if not asked.fits(self._available):
                return self._shortage(asked)
            self._available -= asked
            for owner, tokens in claims.items():
                self._reserved[owner] = self._reserved.get(owner, NONE) + tokens
            return None

    def commit(self, owner: Hashable, tokens: Tokens) -> None:
        """Of what `owner` has reserved, `tokens` are in use from now on; the rest of its reservation goes back.

        Raises CapacityError, and changes nothing, if it has reserved less.
        """
        with self._lock:
            reserved = self._reserved.get(owner, NONE)
            if not tokens.fits(reserved):
                raise CapacityError(f"{owner!r} commits {tokens} but has reserved {reserved}; reserve the rest first.")
            self._available += reserved - tokens
            self._reserved.pop(owner, None)
            self._committed[owner] = self._committed.get(owner, NONE) + tokens

    def hold(self, owner: Hashable, tokens: Tokens) -> bool:
        """`owner` has `tokens` in use from now on, and nothing else. False, and nothing changed, if that is more than
        it has and any kind has too few left."""
        with self._lock:
            available = self._available + self._held_by(owner)
            if not tokens.fits(available):
                return False
            self._available = available - tokens
            self._reserved.pop(owner, None)
            self._committed[owner] = tokens
            return True

    def release(self, owner: Hashable) -> Tokens:
        """Takes back all that `owner` has, reserved or committed, and returns it; nothing, if it has nothing."""
        with self._lock:
            held = self._held_by(owner)
            self._reserved.pop(owner, None)
            self._committed.pop(owner, None)
            self._available += held
            return held

    def resize(self, limit: Tokens) -> None:
        """There is so much from now on. Raises CapacityError, and changes nothing, if owners hold more."""
        with self._lock:
            held = self.limit - self._available
            if not held.fits(limit):
                raise CapacityError(f"The limit cannot be {limit}: owners hold {held}; release some first.")
            self.limit, self._available = limit, limit - held

    def owners(self) -> set[Hashable]:
        """Who holds tokens, or has committed none."""
        with self._lock:
            return self._reserved.keys() | self._committed.keys()

    def stats(self) -> BudgetStats:
        with self._lock:
            return BudgetStats(
                limit=self.limit,
                available=self._available,
                reserved=_total(self._reserved.values()),
                committed=_total(self._committed.values()),
                num_owners=len(self._reserved.keys() | self._committed.keys()),
            )

    def _shortage(self, asked: Tokens) -> Shortage:
        missing = {kind: getattr(asked, kind) - getattr(self._available, kind) for kind in KINDS}
        kind = max(KINDS, key=missing.__getitem__)
        return Shortage(kind, *(getattr(tokens, kind) for tokens in (asked, self._available, self.limit)))

    def _held_by(self, owner: Hashable) -> Tokens:
        return self._reserved.get(owner, NONE) + self._committed.get(owner, NONE)

    def check_invariants(self) -> None:
        """AssertionError if tokens were lost or made. Amounts below zero cannot be built."""
        stats = self.stats()
        assert stats.available + stats.reserved + stats.committed == stats.limit, "tokens were lost or made"


def _total(amounts: Iterable[Tokens]) -> Tokens:
    return sum(amounts, NONE)
