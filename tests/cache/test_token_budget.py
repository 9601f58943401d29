"""The budget against sums over a list of owners, and under threads."""

from random import Random
from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quire.cache import TokenBudget, Tokens
from quire.errors import CapacityError

OWNERS = st.sampled_from("abc")
AMOUNTS = st.builds(Tokens, st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
KINDS = ("kv", "prompt", "context")


class Accounted(RuleBasedStateMachine):
    """The model: per owner and kind, two numbers in dicts."""

    @initialize(limit=AMOUNTS)
    def begin(self, limit: Tokens) -> None:
        self.budget = TokenBudget(limit)
        self.limit = limit
        self.reserved: dict[str, dict[str, int]] = {}
        self.committed: dict[str, dict[str, int]] = {}

    def left(self, kind: str) -> int:
        held = [*self.reserved.values(), *self.committed.values()]
        return getattr(self.limit, kind) - sum(amount[kind] for amount in held)

    @rule(owner=OWNERS, tokens=AMOUNTS)
    def reserve(self, owner: str, tokens: Tokens) -> None:
        can = all(getattr(tokens, kind) <= self.left(kind) for kind in KINDS)
        assert self.budget.can_reserve(tokens) == can
        assert self.budget.reserve(owner, tokens) == can
        if can:
            old = self.reserved.get(owner, dict.fromkeys(KINDS, 0))
            self.reserved[owner] = {kind: old[kind] + getattr(tokens, kind) for kind in KINDS}

    @rule(owner=OWNERS, tokens=AMOUNTS)
    def commit(self, owner: str, tokens: Tokens) -> None:
        reserved = self.reserved.get(owner, dict.fromkeys(KINDS, 0))
        if any(getattr(tokens, kind) > reserved[kind] for kind in KINDS):
            with pytest.raises(CapacityError):
                self.budget.commit(owner, tokens)
            return
        self.budget.commit(owner, tokens)
        self.reserved.pop(owner, None)
        old = self.committed.get(owner, dict.fromkeys(KINDS, 0))
        self.committed[owner] = {kind: old[kind] + getattr(tokens, kind) for kind in KINDS}

    @rule(owner=OWNERS, tokens=AMOUNTS)
    def hold(self, owner: str, tokens: Tokens) -> None:
        own = [holdings.get(owner, {}) for holdings in (self.reserved, self.committed)]
        can = all(getattr(tokens, k) <= self.left(k) + sum(h.get(k, 0) for h in own) for k in KINDS)
        assert self.budget.hold(owner, tokens) == can
        if can:
            self.reserved.pop(owner, None)
            self.committed[owner] = {kind: getattr(tokens, kind) for kind in KINDS}

    @rule(claims=st.dictionaries(OWNERS, AMOUNTS))
    def reserve_all(self, claims: dict[str, Tokens]) -> None:
        can = all(sum(getattr(t, kind) for t in claims.values()) <= self.left(kind) for kind in KINDS)
        assert (self.budget.reserve_all(claims) is None) == can
        for owner, tokens in claims.items() if can else ():
            old = self.reserved.get(owner, dict.fromkeys(KINDS, 0))
            self.reserved[owner] = {kind: old[kind] + getattr(tokens, kind) for kind in KINDS}

    @rule(limit=AMOUNTS)
    def resize(self, limit: Tokens) -> None:
        if any(getattr(limit, kind) < getattr(self.limit, kind) - self.left(kind) for kind in KINDS):
            with pytest.raises(CapacityError, match="release some first"):
                self.budget.resize(limit)
            return
        self.budget.resize(limit)
        self.limit = limit

    @rule(owner=OWNERS)
    def release(self, owner: str) -> None:
        held = [holdings.pop(owner) for holdings in (self.reserved, self.committed) if owner in holdings]
        assert self.budget.release(owner) == Tokens(**{kind: sum(h[kind] for h in held) for kind in KINDS})

    @invariant()
    def agrees_with_the_model(self) -> None:
        self.budget.check_invariants()
        stats = self.budget.stats()
        assert self.budget.available == Tokens(**{kind: self.left(kind) for kind in KINDS})
        for kind in KINDS:
            assert getattr(stats.reserved, kind) == sum(amount[kind] for amount in self.reserved.values())
            assert getattr(stats.committed, kind) == sum(amount[kind] for amount in self.committed.values())
        assert self.budget.owners() == self.reserved.keys() | self.committed.keys()


TestAccounted = Accounted.TestCase
TestAccounted.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_a_request_from_the_door_to_the_end() -> None:
    budget = TokenBudget(Tokens(kv=100, prompt=50, context=200))
    assert budget.reserve("r1", Tokens(prompt=30, context=80))
    assert not budget.reserve("r2", Tokens(prompt=30))
    budget.commit("r1", Tokens(context=40))
    assert budget.available == Tokens(kv=100, prompt=50, context=160)
    assert budget.reserve("r1", Tokens(kv=30))
    assert budget.release("r1") == Tokens(kv=30, context=40)
    assert budget.available == budget.limit
    assert budget.release("r1") == Tokens()


def test_amounts_below_zero_do_not_exist() -> None:
    with pytest.raises(ValueError, match="prompt is -1 tokens; allowed: 0 or more"):
        Tokens(prompt=-1)


def test_committing_more_than_reserved_is_refused() -> None:
    budget = TokenBudget(Tokens(kv=10))
    budget.reserve("r", Tokens(kv=3))
    with pytest.raises(CapacityError, match=r"'r' commits .*kv=4.* but has reserved .*kv=3"):
        budget.commit("r", Tokens(kv=4))
    assert budget.stats().reserved == Tokens(kv=3)


def test_threads_neither_lose_nor_make_tokens() -> None:
    budget = TokenBudget(Tokens(kv=40, prompt=40, context=40))

    def work(owner: int) -> None:
        rng = Random(owner)
        for _ in range(500):
            if budget.reserve(owner, Tokens(rng.randrange(9), rng.randrange(9), rng.randrange(9))):
                budget.commit(owner, Tokens())
            budget.release(owner)

    threads = [Thread(target=work, args=(owner,)) for owner in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    budget.check_invariants()
    assert budget.available == budget.limit
    assert budget.owners() == set()
