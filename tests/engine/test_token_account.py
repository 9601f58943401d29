"""Admission and the engine share one budget: what is claimed at the door is taken over, and comes back at the end."""

import pytest

from quire.cache import NO_LIMIT, Tokens
from quire.engine.engine import LLMEngine
from quire.errors import CapacityError
from quire.sampling_params import SamplingParams
from quire.scheduling import AdmissionController, AdmissionLimits, Admitted, Refused
from tests.fakes import fake_engine

PROMPT = {"prompt_token_ids": [5, 6, 7, 8, 9]}


def limited(context: int, prompt: int = NO_LIMIT) -> tuple[LLMEngine, AdmissionController]:
    engine, _ = fake_engine(num_blocks=16, block_size=4)
    engine.budget.resize(Tokens(kv=64, prompt=prompt, context=context))
    return engine, AdmissionController(AdmissionLimits(), budget=engine.budget)


def admit(door: AdmissionController, engine: LLMEngine, request_id: str, *, n: int = 1) -> Admitted | Refused:
    prepared = engine.prepare(PROMPT, SamplingParams(n=n, max_tokens=3))
    return door.admit("key", 5, 3, n=n, claims={request_id: prepared.tokens})


def test_a_request_from_the_door_to_its_end() -> None:
    engine, door = limited(context=20)
    ticket = admit(door, engine, "a", n=2)
    assert isinstance(ticket, Admitted)
    assert engine.budget.stats().reserved == Tokens(prompt=5, context=11)
    engine.add_request("a", PROMPT, SamplingParams(n=2, max_tokens=3))
    assert engine.budget.stats().committed == Tokens(prompt=5, context=11)
    assert engine.budget.stats().reserved == Tokens()
    engine.step()
    # The prompt is computed. Two blocks hold it; the two sequences share them until one of them writes.
    assert engine.budget.stats().committed == Tokens(kv=8, context=11)
    while engine.has_unfinished:
        engine.step()
    assert engine.budget.available == engine.budget.limit
    door.finished(ticket)
    assert engine.budget.available == engine.budget.limit


def test_no_more_is_let_in_than_the_budget_holds() -> None:
    engine, door = limited(context=20)
    first = admit(door, engine, "a", n=2)
    assert isinstance(first, Admitted)
    refused = admit(door, engine, "b", n=2)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.reason) == ("capacity", "11 more context tokens, of which 9 are left of 20.")
    assert refused.retry_after_s is not None
    assert isinstance(admit(door, engine, "b"), Admitted)
    door.finished(first)
    assert isinstance(admit(door, engine, "c", n=2), Admitted)


def test_what_can_never_fit_is_told_so() -> None:
    engine, door = limited(context=NO_LIMIT, prompt=4)
    refused = admit(door, engine, "a")
    assert isinstance(refused, Refused)
    assert refused.retry_after_s is None
    assert refused.reason == "5 prompt tokens are more than all may hold together (4)."


def test_the_engine_asks_too() -> None:
    engine, _ = limited(context=10)
    engine.add_request("a", PROMPT, SamplingParams(max_tokens=3))
    with pytest.raises(CapacityError, match=r"context=8.*are left of"):
        engine.add_request("b", PROMPT, SamplingParams(max_tokens=3))
    engine.abort("a")
    engine.add_request("b", PROMPT, SamplingParams(max_tokens=3))
    engine.check_invariants()


def test_a_smaller_cache_has_a_smaller_account() -> None:
    engine, _ = fake_engine(num_blocks=16, block_size=4, max_model_len=16)
    assert engine.budget.limit.kv == 64
    engine.add_request("a", PROMPT, SamplingParams(max_tokens=3))
    engine.step()
    engine.resize_cache(8)
    assert engine.budget.limit.kv == 32
    assert engine.budget.stats().committed.kv == 8
