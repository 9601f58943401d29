"""The server as its neighbours find it: keys, limits, readers that leave, bad bytes, loading and draining."""

import io
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

import quire
from quire.engine.async_engine import AsyncEngine
from quire.errors import EngineClosedError, ModelLoadError
from quire.observability import log
from tests.fakes import fake_engine, greedy
from tests.patience import PATIENCE_S, wait_until
from tests.server.serving import Running, running

PROMPT = list(range(10, 30))
TEXT: dict[str, Any] = {"prompt": PROMPT, "temperature": 0, "max_tokens": 8, "return_token_ids": True}
ENDLESS = {"prompt": PROMPT, "max_tokens": 100_000, "seed": 1}
NUM_BLOCKS = 4096


@pytest.fixture(scope="module")
def fake() -> Iterator[Running]:
    """A server of a fake model without a tokenizer and with a long context; at the end no block may be held."""
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, max_body_bytes=1 << 20) as server:
        yield server
        wait_until(lambda: is_idle(server))


def is_idle(server: Running) -> bool:
    stats, budget = server.state.engine.stats(), server.state.engine.budget
    is_still = (stats.num_running, stats.num_waiting, stats.num_free_blocks) == (0, 0, stats.num_blocks)
    return is_still and budget.available == budget.limit


def tokens(server: Running, **headers: str) -> list[int]:
    ids: list[int] = server.ask("/v1/completions", TEXT, **headers).json["choices"][0]["token_ids"]
    return ids


def test_tokens_in_tokens_out_without_a_tokenizer(fake: Running) -> None:
    assert tokens(fake) == greedy(PROMPT, 8)
    events = fake.events("/v1/completions", TEXT)
    assert [i for event in events for i in event["choices"][0]["token_ids"]] == greedy(PROMPT, 8)
    assert events[0]["choices"][0]["prompt_token_ids"] == PROMPT


# ── errors ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/completions", {"prompt": [1], "model": "none"}, 404, "model_not_found"),
        ("/v1/completions", {"prompt": [1], "nn": 1}, 400, None),
        ("/v1/completions", {"prompt": []}, 400, None),
        ("/v1/completions", {"prompt": [96, 97]}, 400, None),
        ("/v1/completions", {"prompt": "text"}, 400, None),
        ("/v1/completions", {"prompt": [5], "n": 99, "stream": True}, 400, None),
        ("/v1/completions", b"\xff\xfe", 400, None),
        ("/v1/completions", b"[" * 200_000, 400, None),
        ("/v1/completions", b'{"prompt": "\\ud800"}', 400, None),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, 400, None),
        ("/v1/models/none", None, 404, "model_not_found"),
        ("/v1/nothing", None, 404, "not_found"),
        ("/v1/completions", None, 405, None),
    ],
    ids=lambda value: str(value)[:30],
)
def test_errors_have_the_apis_shape_and_status(
    fake: Running, path: str, body: Any, status: int, code: str | None
) -> None:
    reply = fake.ask(path, body)
    assert (reply.status, reply.error["code"]) == (status, code), reply.body
    assert reply.error["message"]
    assert status != 405 or (reply.headers["allow"], "allowed: POST" in reply.error["message"]) == ("POST", True)
    assert tokens(fake) == greedy(PROMPT, 8)


def test_a_body_must_call_itself_json(fake: Running) -> None:
    reply = fake.ask("/v1/completions", json.dumps(TEXT).encode(), Content_Type="text/plain")
    assert (reply.status, "allowed: application/json" in reply.error["message"]) == (415, True)


def test_a_fault_of_ours_is_500_without_its_words() -> None:
    engine, executor = fake_engine()
    executor.fail_at_step = 1
    with running(engine) as server:
        assert server.ask("/v1/completions", TEXT).status == 500
        executor.fail_at_step = executor.num_steps + 3
        events = server.events_until_error("/v1/completions", TEXT)
        assert (events[-1]["error"]["type"], events[-1]["error"]["status"]) == ("server_error", 500)
        assert "the fake model failed" not in str(events)
        assert tokens(server) == greedy(PROMPT, 8)


# ── limits ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_body_too_long_is_refused_by_its_header_and_by_its_bytes(fake: Running) -> None:
    assert fake.ask("/v1/completions", b" " * (1 << 20) + b"x").status == 413
    connection = HTTPConnection("127.0.0.1", fake.port, timeout=PATIENCE_S)
    chunks = (b" " * 65_536 for _ in range(1600))  # 100 MB that no header announces
    connection.request("POST", "/v1/completions", chunks, {"Content-Type": "application/json"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_hundred_megabytes_are_answered_before_they_are_read(fake: Running) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n"
    with fake.raw(head + b" " * 1000) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("name_bytes", [100_000, 5_000_000])
def test_huge_headers_are_refused(fake: Running, name_bytes: int) -> None:
    connection = fake.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n")
    with connection:
        try:
            connection.sendall(b"X-Long: " + b"a" * name_bytes + b"\r\n\r\n")
            reply = connection.recv(100)
        except ConnectionError:
            reply = b"HTTP/1.1 431 "  # cut off while it was still sending
        assert reply.startswith(b"HTTP/1.1 431 ")
    assert fake.ask("/health").status == 200


def test_a_body_that_ends_where_headers_begin_counts_for_no_header(fake: Running) -> None:
    body = json.dumps({**TEXT, "user": "a"}).encode().ljust(90_000)
    head = (
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n\r\n"
    )
    with fake.raw(head + body + b"GET /health HTTP/1.1\r\nHost: x\r\n") as connection:
        reply = connection.recv(65_536)
        connection.sendall(b"Connection: close\r\n\r\n")
        while piece := connection.recv(65_536):
            reply += piece
    assert reply.count(b"HTTP/1.1 200 ") == 2, reply


def test_what_can_be_had_can_be_asked_about(fake: Running) -> None:
    whole, head = fake.ask("/health"), fake.ask("/health", method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(whole.body)))
    assert fake.ask("/v1/completions", method="HEAD").status == 405


def test_what_is_no_http_is_answered_400(fake: Running) -> None:
    with fake.raw(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("data", [b"", b"POST /v1/completions HTTP/1.1\r\nHost:"])
def test_headers_that_never_end_close_the_connection(data: bytes) -> None:
    with running(fake_engine()[0], header_timeout_s=0.5) as server, server.raw(data) as connection:
        assert connection.recv(100) == b""


def test_a_body_that_never_ends_is_answered_408() -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with running(fake_engine()[0], body_timeout_s=0.3) as server, server.raw(head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_quotas_are_429_and_capacity_is_503_and_both_say_when_to_come_again() -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    limits: dict[str, Any] = {"key_requests_per_s": 0.002, "requests_per_s": 0.003, "rate_window_s": 1000.0}
    with running(engine, api_key=("a", "b", "c"), **limits) as server:
        asked = [server.ask("/v1/completions", TEXT, Authorization=f"Bearer {key}") for key in "aaabb"]
        assert [reply.status for reply in asked] == [200, 200, 429, 200, 503]
        assert [reply.error["code"] for reply in asked if reply.status != 200] == ["rate_limit_exceeded", "overloaded"]
        assert all(
            0 < int(reply.headers["retry-after"]) <= 2 * limits["rate_window_s"]
            for reply in asked
            if reply.status != 200
        )
        streamed = server.ask("/v1/completions", {**TEXT, "stream": True}, Authorization="Bearer a")
        assert streamed.status == 429
        text = server.ask("/metrics", Authorization="Bearer a").body.decode()
        assert 'quire:requests_refused_total{model_name="tiny",status="429"} 2.0' in text
        assert server.state.admission.num_queued_requests == 0


@pytest.mark.parametrize("stream", [True, False])
def test_what_runs_is_in_no_queue_whether_it_streams_or_not(stream: bool) -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, max_queued_requests=1) as server, asking(server, {**ENDLESS, "stream": stream}):
        wait_until(lambda: server.state.engine.stats().num_decode_tokens > 0)
        assert server.state.admission.num_queued_requests == 0
        assert tokens(server) == greedy(PROMPT, 8)


def test_an_engine_that_dies_is_503_and_the_server_is_not_healthy() -> None:
    for path, body in (("/v1/completions", TEXT), ("/v1/embeddings", {"input": [PROMPT, PROMPT[3:]]})):
        engine, executor = fake_engine()
        executor.fail_at_step, executor.failure = 1, EngineClosedError("a rank is gone")
        with running(engine) as server:
            answer = server.ask(path, body)
            assert (answer.status, answer.error["code"]) == (503, "engine_closed"), path
            assert server.ask("/health").status == 503


def test_no_more_context_is_let_in_than_the_budget_holds() -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, max_context_tokens=len(PROMPT) + 4 * NUM_BLOCKS) as server:
        with asking(server, ENDLESS):
            wait_until(lambda: server.state.engine.stats().num_running == 1)
            refused = server.ask("/v1/completions", {**TEXT, "max_tokens": 100})
            assert (refused.status, refused.error["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
            assert 'quire:held_tokens{kind="context",model_name="tiny"}' in server.ask("/metrics").body.decode()
        wait_until(lambda: is_idle(server))
        assert server.ask("/v1/completions", TEXT).status == 200
        too_large = server.ask("/v1/completions", {**ENDLESS, "n": 2})
        assert (too_large.status, too_large.error["code"]) == (400, "request_too_large")


def test_a_request_that_takes_too_long_is_ended() -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, request_timeout_s=0.2) as server:
        assert server.ask("/v1/completions", ENDLESS).status == 504
        assert server.events_until_error("/v1/completions", ENDLESS)[-1]["error"]["code"] == "timeout"
        wait_until(lambda: is_idle(server))


# ── readers that leave ─────────────────────────────────────────────────────────────────────────────────────────────


def asking(server: Running, body: dict[str, Any]) -> socket.socket:
    """A connection on which this is asked; to close it is to leave."""
    data = json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return server.raw(head.encode() + b"\r\n\r\n" + data)


def leave_while_it_runs(server: Running, body: dict[str, Any]) -> None:
    with asking(server, body) as connection:
        wait_until(lambda: server.state.engine.stats().num_running > 0)
        if body.get("stream"):
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("stream", [True, False])
def test_a_reader_who_leaves_frees_everything(fake: Running, stream: bool) -> None:
    for n in (1, 3):
        leave_while_it_runs(fake, {**ENDLESS, "stream": stream, "n": n})
        wait_until(lambda: is_idle(fake))
    assert fake.state.admission.num_queued_requests == 0
    assert tokens(fake) == greedy(PROMPT, 8)


def test_many_readers_leave_at_once_and_one_stays(fake: Running) -> None:
    threads = [
        threading.Thread(target=leave_while_it_runs, args=(fake, {**ENDLESS, "stream": True})) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    assert tokens(fake) == greedy(PROMPT, 8)
    for thread in threads:
        thread.join()
    wait_until(lambda: is_idle(fake))


# ── keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_but_the_two_probes_needs_a_key_when_keys_are_set() -> None:
    engine, _ = fake_engine(num_blocks=256)
    with running(engine, api_key=("first", "second")) as server:
        paths = ["/v1/models", "/metrics", "/docs", "/openapi.json", "/version", "/nothing", "/tokenize"]
        for path in paths:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "first"}):
                reply = server.ask(path, **headers)
                assert (reply.status, reply.error["code"]) == (401, "invalid_api_key"), path
                assert reply.headers["www-authenticate"] == "Bearer"
        assert server.ask("/v1/completions", TEXT).status == 401
        assert [server.ask(path).status for path in ("/health", "/ready")] == [200, 200]
        for key in ("first", "second"):
            assert tokens(server, Authorization=f"Bearer {key}") == greedy(PROMPT, 8)


def test_metrics_can_be_open() -> None:
    engine, _ = fake_engine()
    with running(engine, api_key=("k",), are_metrics_open=True) as server:
        assert server.ask("/metrics").status == 200
        assert server.ask("/version").status == 401


def test_no_key_finds_the_kv_of_another() -> None:
    engine, _ = fake_engine(num_blocks=256)
    with running(engine, api_key=("first", "second")) as server:

        def cached(key: str, **more: str) -> int:
            reply = server.ask("/v1/completions", {**TEXT, **more}, Authorization=f"Bearer {key}").json
            found: int = reply["usage"]["prompt_tokens_details"]["cached_tokens"]
            return found

        assert cached("first") == 0
        assert cached("second") == 0
        assert cached("first") == cached("second") > 0
        assert cached("first", cache_salt="s") == 0
        assert cached("first", cache_salt="s") > 0


# ── what those see who look after it ───────────────────────────────────────────────────────────────────────────────


def test_metrics_count_what_was_served() -> None:
    engine, _ = fake_engine(num_blocks=256)
    with running(engine) as server:
        tokens(server)
        server.events("/v1/completions", TEXT)
        served = 'quire:http_requests_total{model_name="tiny",path="/v1/completions",status="200"} 2.0'
        wait_until(lambda: served in server.ask("/metrics").body.decode())
        lines = server.ask("/metrics").body.decode().splitlines()
    for expected in (
        'quire:prompt_tokens_total{model_name="tiny"} 40.0',
        'quire:generation_tokens_total{model_name="tiny"} 16.0',
        'quire:request_success_total{finished_reason="length",model_name="tiny"} 2.0',
        'quire:time_to_first_token_seconds_count{model_name="tiny"} 2.0',
        'quire:e2e_request_latency_seconds_count{model_name="tiny"} 2.0',
        'quire:num_requests_running{model_name="tiny"} 0.0',
        'quire:kv_cache_usage_perc{model_name="tiny"} 0.0',
    ):
        assert expected in lines


def test_request_ids_come_back_and_the_log_has_no_prompts(fake: Running) -> None:
    stream = io.StringIO()
    log.configure("info", stream)
    try:
        named = fake.ask("/v1/completions", {**TEXT, "user": "someone"}, X_Request_Id="my-id-1")
        forged = fake.ask("/version", X_Request_Id="two words")
        wait_until(lambda: stream.getvalue().count("\n") == 2)
    finally:
        logger = logging.getLogger("quire")
        logger.handlers.clear()
        logger.propagate = True
    assert named.headers["x-request-id"] == "my-id-1"
    assert len(forged.headers["x-request-id"]) == 32
    record, _ = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {k: record[k] for k in ("request_id", "path", "status", "num_prompt_tokens", "user", "caller")} == {
        "request_id": "my-id-1",
        "path": "/v1/completions",
        "status": 200,
        "num_prompt_tokens": 20,
        "user": "someone",
        "caller": "anyone",
    }
    assert str(PROMPT[1:]).strip("[]") not in stream.getvalue()


def test_version(fake: Running) -> None:
    assert fake.ask("/version").json == {"version": quire.__version__}


# ── loading and ending ─────────────────────────────────────────────────────────────────────────────────────────────


def after(event: threading.Event) -> Callable[[], AsyncEngine]:
    def load() -> AsyncEngine:
        assert event.wait(PATIENCE_S)
        return AsyncEngine(fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)[0])

    return load


def test_while_the_model_loads_the_server_is_healthy_and_not_ready() -> None:
    may_load = threading.Event()
    with running(after(may_load)) as server:
        wait_until(lambda: server.server.started)
        assert (server.ask("/health").status, server.ask("/ready").status) == (200, 503)
        refused = server.ask("/v1/completions", TEXT)
        assert (refused.status, refused.error["code"]) == (503, "model_loading")
        assert int(refused.headers["retry-after"]) > 0
        may_load.set()
        wait_until(lambda: server.ask("/ready").status == 200)
        assert tokens(server) == greedy(PROMPT, 8)


def test_a_model_that_cannot_be_loaded_ends_the_server() -> None:
    def load() -> AsyncEngine:
        raise ModelLoadError("no such model")

    with running(load) as server:
        server.thread.join(PATIENCE_S)
        assert not server.thread.is_alive()
        assert str(server.state.error) == "no such model"


def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, shutdown_timeout_s=PATIENCE_S) as server:
        waiting = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        waiting.connect()
        long = json.dumps({**TEXT, "max_tokens": 500, "stream": True})
        waiting.request("POST", "/v1/completions", long, {"Content-Type": "application/json"})
        response = waiting.getresponse()
        server.server.drain()
        assert response.read().endswith(b"data: [DONE]\n\n")
        server.thread.join(PATIENCE_S)
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def test_at_the_deadline_what_still_runs_is_ended() -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, shutdown_timeout_s=0.6) as server:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        body = json.dumps({**ENDLESS, "stream": True})
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        server.server.drain()
        server.thread.join(PATIENCE_S)
        assert not server.thread.is_alive()
        response.close()
    assert engine.scheduler.blocks.num_free_blocks == NUM_BLOCKS
