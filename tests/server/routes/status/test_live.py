"""/live: the numbers of the engine, as somebody who counts by hand finds them."""

from pathlib import Path
from typing import Any

import pytest

from quire import Collection
from quire.cache.heat import BlockHeat
from quire.engine.async_engine import AsyncEngine
from tests.fakes import fake_engine
from tests.patience import wait_until
from tests.rag.chunks import ORNE
from tests.server.scripted import scripted
from tests.server.serving import running

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


@pytest.mark.parametrize("most", [8, 1, 0])
def test_what_collections_are_asked_most(tmp_path: Path, most: int) -> None:
    with Collection.open(tmp_path / "rivers", embedder=None) as rivers:
        rivers.add([{"id": "orne", "text": ORNE.text}])
    search = "/v1/collections/rivers/search"
    settings = {"collection": (str(tmp_path / "rivers"),), "num_hot_queries": most, "api_key": ("one",)}
    with scripted(tmp_path, "Hm.", **settings) as (server, _):

        def ask(path: str, body: Any = None) -> Any:
            return server.ask(path, body, Authorization="Bearer one")

        for query in ("the  Orne", "Ada", "the Orne", "Ada", "once"):
            assert ask(search, {"query": query}).status == 200
        assert ask(search, {"query": "never", "k": 0}).status == 400
        chat = {"messages": [{"role": "user", "content": "the Orne"}], "collection": "rivers"}
        assert ask("/v1/chat/completions", chat).status == 200
        assert ask("/v1/chat/completions", {"messages": chat["messages"]}).status == 200
        live, metrics = ask("/live").json, ask("/metrics").body.decode()
        assert server.ask("/live").status == 401
    expected = [{"query": "the Orne", "count": 3}, {"query": "Ada", "count": 2}]
    assert live["hot_queries"] == expected[:most]
    assert "Orne" not in metrics
