"""/live: the numbers of the engine, as somebody who counts by hand finds them."""

from quire.cache.heat import BlockHeat
from quire.engine.async_engine import AsyncEngine
from tests.fakes import fake_engine
from tests.server.serving import running, wait_until

PROMPT = list(range(10, 23))
"""Three full blocks of 4, and one token."""


def test_what_was_computed_kept_and_found_again() -> None:
    heat = BlockHeat()
    engine, _ = fake_engine(observer=heat)
    with running(lambda: AsyncEngine(engine, heat)) as server:
        wait_until(lambda: server.ask("/ready").status == 200)
        for _ in range(3):
            server.ask("/v1/completions", {"prompt": PROMPT, "max_tokens": 1, "temperature": 0})
        live = server.ask("/live").json
    assert (live["model"], live["num_running"], live["num_waiting"]) == ("tiny", 0, 0)
    assert (live["num_prompt_tokens"], live["num_cached_tokens"]) == (13 + 1 + 1, 12 + 12)
    assert live["first_token_s"]["count"] == 3
    assert 0 < live["first_token_s"]["p50"] <= live["first_token_s"]["p95"]
    assert {state: count for state, count in live["blocks"]["counts"].items() if count} == {"F": 3, ".": 61}
    assert live["blocks"]["cells"].count("F") == 3


def test_nothing_has_run_yet() -> None:
    engine, _ = fake_engine()
    with running(engine) as server:
        live = server.ask("/live").json
    assert live["first_token_s"] == {"count": 0, "p50": None, "p95": None}
    assert live["blocks"]["cells"] == "." * 64
