"""Calls over gRPC as their neighbours find them: keys, limits, callers that leave, deadlines, bad bytes, draining."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from quire.engine.async_engine import AsyncEngine
from quire.observability import log
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol._generated.quire_pb2_grpc import QuireStub
from tests.fakes import fake_engine, greedy
from tests.patience import PATIENCE_S, wait_until
from tests.server.serving import Running, running

PROMPT = list(range(10, 30))
NUM_BLOCKS = 4096


def asked(num_tokens: int = 8, **sampling: Any) -> pb.GenerateRequest:
    return pb.GenerateRequest(
        prompt_token_ids=[pb.TokenIds(items=PROMPT)],
        max_tokens=num_tokens,
        sampling=pb.Sampling(temperature=0, return_token_ids=True, **sampling),
    )


ENDLESS = asked(100_000)


def tokens(call: Any) -> list[int]:
    return [token_id for event in call for choice in event.choices for token_id in choice.token_ids]


@contextmanager
def channel_to(server: Running) -> Iterator[grpc.Channel]:
    wait_until(lambda: server.state.grpc_port is not None)
    with grpc.insecure_channel(f"127.0.0.1:{server.state.grpc_port}") as channel:
        yield channel


@contextmanager
def fake_server(**settings: Any) -> Iterator[tuple[Running, Any]]:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    with running(engine, grpc_port=0, **settings) as server, channel_to(server) as channel:
        yield server, QuireStub(channel)


@pytest.fixture(scope="module")
def fake() -> Iterator[tuple[Running, Any]]:
    with fake_server(max_body_bytes=1 << 20) as (server, stub):
        yield server, stub
        wait_until(lambda: is_idle(server))


def is_idle(server: Running) -> bool:
    stats = server.state.engine.stats()
    return (stats.num_running, stats.num_waiting, stats.num_free_blocks) == (0, 0, stats.num_blocks)


def error_of(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        tokens(call)
    return caught.value


def status_of(call: Any) -> tuple[str, str]:
    error = error_of(call)
    return error.code().name, error.details()


def test_tokens_in_tokens_out(fake: tuple[Running, Any]) -> None:
    assert tokens(fake[1].Generate(asked())) == greedy(PROMPT, 8)


# ── callers that leave ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_cancelled_call_frees_everything(fake: tuple[Running, Any]) -> None:
    server, stub = fake
    call = stub.Generate(ENDLESS)
    next(call)
    assert server.state.engine.stats().num_running == 1
    call.cancel()
    wait_until(lambda: is_idle(server))


def test_a_deadline_ends_the_generation(fake: tuple[Running, Any]) -> None:
    server, stub = fake
    assert status_of(stub.Generate(ENDLESS, timeout=0.3))[0] == "DEADLINE_EXCEEDED"
    wait_until(lambda: is_idle(server))


def test_a_channel_that_closes_ends_all_its_calls_and_no_other(fake: tuple[Running, Any]) -> None:
    server, stub = fake
    with channel_to(server) as channel:
        calls = [QuireStub(channel).Generate(ENDLESS) for _ in range(4)]
        for call in calls:
            next(call)
        staying = stub.Generate(asked(200))
        next(staying)  # the ids of the prompt
    assert tokens(staying) == greedy(PROMPT, 200)
    wait_until(lambda: is_idle(server))


def test_a_reader_that_takes_nothing_loses_its_stream() -> None:
    with fake_server(write_timeout_s=1.0) as (server, _):
        small = [
            ("grpc.http2.max_frame_size", 16384),
            ("grpc.http2.lookahead_bytes", 1024),
            ("grpc.http2.bdp_probe", 0),
        ]
        with grpc.insecure_channel(f"127.0.0.1:{server.state.grpc_port}", options=small) as channel:
            call = QuireStub(channel).Generate(asked(16_000))
            next(call)  # and no more
            wait_until(lambda: is_idle(server))
            call.cancel()


# ── keys and limits ────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_but_health_needs_a_key_when_keys_are_set() -> None:
    with fake_server(api_key=("one", "two")) as (server, stub):
        assert status_of(stub.Generate(asked())) == (
            "UNAUTHENTICATED",
            "This server needs a key: send the header Authorization: Bearer YOUR_KEY.",
        )
        assert status_of(stub.Generate(asked(), metadata=[("authorization", "Bearer three")]))[0] == "UNAUTHENTICATED"
        assert tokens(stub.Generate(asked(), metadata=[("authorization", "Bearer two")])) == greedy(PROMPT, 8)
        with channel_to(server) as channel, pytest.raises(grpc.RpcError):
            ProtoReflectionDescriptorDatabase(channel).get_services()
        with channel_to(server) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_no_key_finds_the_kv_of_another() -> None:
    with fake_server(api_key=("one", "two")) as (_, stub):

        def num_cached(key: str) -> int:
            *_, last = stub.Generate(asked(), metadata=[("authorization", f"Bearer {key}")])
            found: int = last.usage.prompt_tokens_details.cached_tokens
            return found

        assert num_cached("one") == 0
        assert num_cached("two") == 0
        assert num_cached("one") > 0


def test_quotas_and_capacity_say_when_to_come_again() -> None:
    with fake_server(key_requests_per_s=0.001, rate_window_s=1000) as (_, stub):
        assert len(tokens(stub.Generate(asked()))) == 8
        error = error_of(stub.Generate(asked()))
        told = dict(error.trailing_metadata())
        assert (error.code().name, told["quire-code"]) == ("RESOURCE_EXHAUSTED", "rate_limit_exceeded")
        assert 0 < int(told["retry-after"]) <= 1100
        assert int(told["grpc-retry-pushback-ms"]) == 1000 * int(told["retry-after"])
    with fake_server(requests_per_s=0.001, rate_window_s=1000) as (_, stub):
        assert len(tokens(stub.Generate(asked()))) == 8
        error = error_of(stub.Generate(asked()))
        assert (error.code().name, "retry-after" in dict(error.trailing_metadata())) == ("UNAVAILABLE", True)


def test_a_call_that_takes_too_long_is_ended() -> None:
    with fake_server(request_timeout_s=0.2) as (server, stub):
        assert status_of(stub.Generate(ENDLESS)) == ("DEADLINE_EXCEEDED", "The request took longer than 0.2 s.")
        wait_until(lambda: is_idle(server))


# ── bad input ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x12\x02\xc3\x28", b"\x0a" * 99])
def test_bytes_that_are_no_message(fake: tuple[Running, Any], data: bytes) -> None:
    with channel_to(fake[0]) as channel:
        send = channel.unary_stream("/quire.v1.Quire/Generate", None, pb.GenerateEvent.FromString)
        assert status_of(send(data)) == ("INVALID_ARGUMENT", "The message is not one of quire.proto's.")
        assert tokens(send(asked().SerializeToString())) == greedy(PROMPT, 8)


def test_a_message_too_long_is_refused(fake: tuple[Running, Any]) -> None:
    code, _ = status_of(fake[1].Generate(pb.GenerateRequest(prompt=["x" * (2 << 20)])))
    assert code == "RESOURCE_EXHAUSTED"


def test_a_method_that_is_not_there(fake: tuple[Running, Any]) -> None:
    with channel_to(fake[0]) as channel:
        assert status_of(channel.unary_stream("/quire.v1.Quire/Guess")(b""))[0] == "UNIMPLEMENTED"


def test_text_needs_a_tokenizer(fake: tuple[Running, Any]) -> None:
    code, words = status_of(fake[1].Generate(pb.GenerateRequest(prompt=["a"])))
    assert (code, "no tokenizer" in words) == ("INVALID_ARGUMENT", True)


def test_a_fault_of_ours_is_internal_without_its_words() -> None:
    engine, executor = fake_engine()
    executor.fail_at_step = 1
    with running(engine, grpc_port=0) as server, channel_to(server) as channel:
        code, words = status_of(QuireStub(channel).Generate(asked()))
        assert (code, "log" in words, "fake model" in words) == ("INTERNAL", True, False)


# ── health, reflection, life ───────────────────────────────────────────────────────────────────────────────────────


def test_reflection_lists_the_services_and_their_methods(fake: tuple[Running, Any]) -> None:
    with channel_to(fake[0]) as channel:
        found = ProtoReflectionDescriptorDatabase(channel)
        assert set(found.get_services()) == {
            "quire.v1.Quire",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
        }
        file = found.FindFileContainingSymbol("quire.v1.Quire")
        assert file.name == "quire/v1/quire.proto"
        assert [method.name for method in file.service[0].method][:2] == ["Generate", "Chat"]


def test_health_follows_the_model() -> None:
    engine, _ = fake_engine()
    gate = threading.Event()

    def load() -> AsyncEngine:
        gate.wait(PATIENCE_S)
        return AsyncEngine(engine)

    kinds = health_pb2.HealthCheckResponse
    with running(load, grpc_port=0) as server, channel_to(server) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service="quire.v1.Quire"))
        assert next(watch).status == kinds.NOT_SERVING
        assert status_of(QuireStub(channel).Generate(asked()))[0] == "UNAVAILABLE"
        with pytest.raises(grpc.RpcError, match="There is no service 'x' here"):
            health.Check(health_pb2.HealthCheckRequest(service="x"))
        gate.set()
        assert next(watch).status == kinds.SERVING
        assert health.Check(health_pb2.HealthCheckRequest()).status == kinds.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health.Check(health_pb2.HealthCheckRequest(service="none"))
        assert caught.value.code().name == "NOT_FOUND"
        server.server.drain()
        assert next(watch).status == kinds.NOT_SERVING


def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    with fake_server(shutdown_timeout_s=PATIENCE_S) as (server, stub):
        running_call = stub.Generate(asked(500))
        next(running_call)
        server.server.drain()
        code, _ = status_of(stub.Generate(asked()))
        assert code == "UNAVAILABLE"
        assert len(tokens(running_call)) == 500


def test_at_the_deadline_what_still_runs_is_ended() -> None:
    with fake_server(shutdown_timeout_s=0.3) as (server, stub):
        call = stub.Generate(ENDLESS)
        next(call)
        server.server.drain()
        assert status_of(call)[0] in ("CANCELLED", "UNAVAILABLE")


def test_ids_come_back_and_the_log_has_no_prompts(fake: tuple[Running, Any]) -> None:
    stream = io.StringIO()
    log.configure("info", stream)
    try:
        call = fake[1].Generate(asked(), metadata=[("x-request-id", "mine-1")])
        assert dict(call.initial_metadata())["x-request-id"] == "mine-1"
        tokens(call)
        wait_until(lambda: "mine-1" in stream.getvalue())
    finally:
        logger = logging.getLogger("quire")
        logger.handlers.clear()
        logger.propagate = True
    record = json.loads(stream.getvalue())
    assert {k: record[k] for k in ("request_id", "method", "path", "status", "num_prompt_tokens", "caller")} == {
        "request_id": "mine-1",
        "method": "grpc",
        "path": "/quire.v1.Quire/Generate",
        "status": 200,
        "num_prompt_tokens": 20,
        "caller": "anyone",
    }
    assert str(PROMPT[1:]).strip("[]") not in stream.getvalue()
