"""The client against a running server: over HTTP and over gRPC it says what HTTP says, and fails as it is told."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest

from quire import AsyncClient, Client, RetryPolicy, ServerError, ServerUnreachableError, StructuredOutputs
from quire.client.joined import joined_chat, joined_completion
from quire.client.transport.http import events_of
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.errors import ConfigError, InvalidRequestError
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol._generated.quire_pb2_grpc import QuireServicer, add_QuireServicer_to_server
from tests.fakes import fake_engine
from tests.patience import wait_until
from tests.server.scripted import CALL_CLOCK, CALL_OSLO, CLOCK, OSLO, WEATHER, scripted
from tests.server.serving import Running, running

QUESTION = [{"role": "user", "content": "hello world"}]
NO_RETRIES = RetryPolicy(max_retries=0)
WAYS = ("http", "grpc")


def url(server: Running, way: str) -> str:
    if way == "http":
        return server.url
    wait_until(lambda: server.state.grpc_port is not None)
    return f"grpc://127.0.0.1:{server.state.grpc_port}"


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    config = EngineConfig(num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20)
    with running(assemble(model_path, config), grpc_port=0) as server:
        yield server


@pytest.fixture(params=WAYS)
def client(request: pytest.FixtureRequest, server: Running) -> Iterator[Client]:
    with Client(url(server, request.param), retries=NO_RETRIES) as client:
        yield client


def lasting(answer: Any) -> Any:
    """What of an answer two equal requests share."""
    usage = {name: count for name, count in (answer["usage"] or {}).items() if name.endswith("_tokens")}
    return {**{name: answer[name] for name in answer if name not in ("id", "created")}, "usage": usage}


# ── what is asked and answered ─────────────────────────────────────────────────────────────────────────────────────


def test_a_chat_whole_and_streamed(server: Running, client: Client) -> None:
    body = {"messages": QUESTION, "max_tokens": 8, "temperature": 0, "logprobs": True, "top_logprobs": 2}
    expected = server.ask("/v1/chat/completions", body).json
    asked: Any = {name: value for name, value in body.items() if name != "messages"}
    whole = client.chat("hello world", **asked)
    assert whole["choices"][0]["message"] == expected["choices"][0]["message"]
    assert whole["choices"][0]["finish_reason"] == expected["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 8
    scores = [score["logprob"] for score in (whole["choices"][0]["logprobs"] or {})["content"]]
    assert scores == pytest.approx([s["logprob"] for s in expected["choices"][0]["logprobs"]["content"]], abs=1e-4)
    chunks = [*client.chat_stream(QUESTION, **asked)]
    assert len(chunks) >= 9
    assert joined_chat(chunks)["choices"][0]["message"] == expected["choices"][0]["message"]
    assert (chunks[-1]["usage"] or {})["completion_tokens"] == 8


def test_completions_of_several_prompts(server: Running, client: Client) -> None:
    asked: Any = {"max_tokens": 6, "seed": 3, "n": 2, "logprobs": 1, "echo": True, "return_token_ids": True}
    prompts = ["hello world", "one two three"]
    expected = server.ask("/v1/completions", {"prompt": prompts, **asked}).json
    for answer in (client.generate(prompts, **asked), joined_completion([*client.generate_stream(prompts, **asked)])):
        assert [c["text"] for c in answer["choices"]] == [c["text"] for c in expected["choices"]]
        assert [c["token_ids"] for c in answer["choices"]] == [c["token_ids"] for c in expected["choices"]]
        first = answer["choices"][0]["logprobs"]
        assert first is not None
        assert first["tokens"] == expected["choices"][0]["logprobs"]["tokens"]
        assert first["text_offset"] == expected["choices"][0]["logprobs"]["text_offset"]
        assert first["token_logprobs"][0] is None


def test_token_ids_are_a_prompt_and_forms_are_objects(client: Client) -> None:
    tokens = client.tokenize("hello world")["tokens"]
    form = StructuredOutputs(choice=("yes", "no"))
    said = client.generate(tokens, max_tokens=4, structured_outputs=form, logit_bias={5: -100.0})["choices"][0]["text"]
    assert said in ("yes", "no")
    assert client.generate([tokens, tokens[:1]], max_tokens=1)["choices"][1]["index"] == 1


def test_tokens_texts_embeddings_and_models(server: Running, client: Client) -> None:
    body = {"prompt": "hello world", "return_token_strs": True}
    expected = server.ask("/tokenize", {"messages": QUESTION}).json
    assert client.tokenize(QUESTION) == expected
    assert client.detokenize(server.ask("/tokenize", body).json["tokens"]).endswith("hello world")
    told = server.ask("/v1/embeddings", {"input": ["hello", "world"]}).json
    found = client.embed(["hello", "world"])
    for mine, theirs in zip(found["data"], told["data"], strict=True):
        assert mine["embedding"] == pytest.approx(theirs["embedding"], abs=1e-6)
        assert {**mine, "embedding": []} == {**theirs, "embedding": []}
    assert {**found, "data": []} == {**told, "data": []}
    assert client.models() == server.ask("/v1/models").json["data"]


@pytest.mark.parametrize("way", WAYS)
def test_thoughts_and_tool_calls_whole_and_streamed(tmp_path: Path, way: str) -> None:
    tools, says = [WEATHER, CLOCK], f"<think>Hm.</think>I look.\n{CALL_OSLO}\n{CALL_CLOCK}"
    with scripted(tmp_path, says, grpc_port=0) as (server, _), Client(url(server, way), retries=NO_RETRIES) as client:
        whole = client.chat(QUESTION, tools=tools)["choices"][0]
        joined = joined_chat([*client.chat_stream(QUESTION, tools=tools, tool_choice="auto")])["choices"][0]
    for choice in (whole, joined):
        assert choice["finish_reason"] == "tool_calls"
        message = choice["message"]
        assert (message["reasoning_content"], (message["content"] or "").strip()) == ("Hm.", "I look.")
        assert [call["function"] for call in message["tool_calls"]] == [
            {"name": "weather", "arguments": OSLO},
            {"name": "clock", "arguments": "{}"},
        ]


def test_the_asynchronous_client_streams_side_by_side(server: Running) -> None:
    async def texts(way: str) -> list[str]:
        async with AsyncClient(url(server, way)) as client:

            async def one(number: int) -> str:
                stream = client.generate_stream(f"hello {number}", max_tokens=6, temperature=0)
                return "".join([choice["text"] async for event in stream for choice in event["choices"]])

            return await asyncio.gather(*map(one, range(8)))

    alone = [
        server.ask("/v1/completions", {"prompt": f"hello {n}", "max_tokens": 6, "temperature": 0}).json
        for n in range(8)
    ]
    for way in WAYS:
        assert asyncio.run(texts(way)) == [answer["choices"][0]["text"] for answer in alone]


# ── leaving ────────────────────────────────────────────────────────────────────────────────────────────────────────


def is_idle(server: Running) -> bool:
    stats = server.state.engine.stats()
    return (stats.num_running, stats.num_waiting, stats.num_free_blocks) == (0, 0, stats.num_blocks)


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_is_left_ends_its_request(way: str) -> None:
    engine, _ = fake_engine(num_blocks=4096, max_model_len=16_000)
    with running(engine, grpc_port=0) as server:
        with Client(url(server, way)) as client:
            for _ in client.generate_stream([5, 6, 7], max_tokens=10_000, return_token_ids=True):
                break
            wait_until(lambda: is_idle(server))
            stream = client.generate_stream([5, 6, 7], max_tokens=10_000, return_token_ids=True)
            next(stream)
            stream.close()
            wait_until(lambda: is_idle(server))
            left_open = client.generate_stream([5, 6, 7], max_tokens=10_000, return_token_ids=True)
            next(left_open)
        wait_until(lambda: is_idle(server))
        with pytest.raises(RuntimeError, match="closed"):
            client.models()

        async def leave() -> None:
            async with (
                AsyncClient(url(server, way)) as client,
                aclosing(client.generate_stream([5], max_tokens=9000, return_token_ids=True)) as s,
            ):
                await anext(s)

        asyncio.run(leave())
        wait_until(lambda: is_idle(server))


# ── errors and coming again ────────────────────────────────────────────────────────────────────────────────────────


def test_the_servers_words_status_and_field(client: Client) -> None:
    with pytest.raises(ServerError, match="There is no model 'none' here") as caught:
        client.chat("a", model="none")
    assert caught.value.status == 404
    with pytest.raises(ServerError, match=r"top_p is 2\.0") as caught:
        [*client.generate_stream("a", top_p=2.0)]
    assert (caught.value.status, caught.value.param) == (400, "top_p")
    assert caught.value.request_id


def test_a_field_that_is_not_there_is_refused_by_name(server: Running) -> None:
    options: Any = {"temprature": 1}
    with Client(url(server, "http")) as http, pytest.raises(ServerError, match="Did you mean 'temperature'"):
        http.chat("a", **options)
    with Client(url(server, "grpc")) as rpc, pytest.raises(InvalidRequestError, match="Did you mean 'temperature'"):
        rpc.chat("a", **options)


@pytest.mark.parametrize("way", WAYS)
def test_keys(way: str) -> None:
    engine, _ = fake_engine()
    with running(engine, grpc_port=0, api_key=("one",)) as server:
        with Client(url(server, way)) as client, pytest.raises(ServerError, match="needs a key") as caught:
            client.generate([5])
        assert caught.value.status == 401
        with Client(url(server, way), api_key="one") as client:
            assert client.generate([5], max_tokens=1)["usage"]["completion_tokens"] == 1


def refusal_of(client: Client) -> ServerError:
    """At once, unless the machine takes a second over a request: then it is no more than the quota."""
    while True:
        try:
            [*client.generate_stream([5], max_tokens=1)]
        except ServerError as error:
            return error


@pytest.mark.parametrize("way", WAYS)
def test_a_quota_is_waited_for(way: str) -> None:
    engine, _ = fake_engine()
    with running(engine, grpc_port=0, key_requests_per_s=1, rate_window_s=1) as server:
        with Client(url(server, way), retries=NO_RETRIES) as client:
            client.generate([5], max_tokens=1)
            refused = refusal_of(client)
            assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
            assert refused.retry_after_s in (1, 2)
        with Client(url(server, way)) as client:
            assert [*client.generate_stream([5], max_tokens=1)]


@pytest.mark.parametrize("way", WAYS)
def test_an_error_within_a_stream_is_what_it_would_have_been_before_it(way: str) -> None:
    engine, _ = fake_engine(max_model_len=100_000, num_blocks=25_000)
    with running(engine, grpc_port=0, request_timeout_s=0.3) as server, Client(url(server, way)) as client:
        with pytest.raises(ServerError, match=r"took longer than 0\.3 s") as caught:
            [*client.generate_stream([5], max_tokens=99_000)]
        assert (caught.value.status, caught.value.code) == (504, "timeout")


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_answer_is_there_in_time_or_nobody_waits_for_it(way: str) -> None:
    engine, _ = fake_engine(max_model_len=100_000, num_blocks=25_000)
    with running(engine, grpc_port=0) as server, Client(url(server, way), timeout_s=0.2) as client:
        with pytest.raises(ServerUnreachableError, match=r"did not answer: nothing came for 0\.2 s"):
            client.generate([5], max_tokens=99_000)
        wait_until(lambda: server.state.engine.stats().num_running == 0)


@pytest.mark.parametrize("way", WAYS)
def test_closing_ends_what_still_streams(way: str) -> None:
    engine, _ = fake_engine(max_model_len=100_000, num_blocks=25_000)

    async def close_early(client: AsyncClient) -> None:
        stream = client.generate_stream([5], max_tokens=99_000, return_token_ids=True)
        await anext(stream)
        await client.close()
        with pytest.raises(RuntimeError, match="This client is closed"):
            [event async for event in stream]
        with pytest.raises(RuntimeError, match="This client is closed"):
            await client.models()

    with running(engine, grpc_port=0) as server:
        asyncio.run(close_early(AsyncClient(url(server, way))))
        wait_until(lambda: server.state.engine.stats().num_running == 0)


@pytest.mark.parametrize("way", WAYS)
def test_nobody_there(way: str) -> None:
    policy = RetryPolicy(max_retries=1, first_wait_s=0.01)
    with Client(f"{way}://127.0.0.1:1", retries=policy) as client:
        with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:1 cannot be reached") as caught:
            client.models()
        assert not caught.value.was_sent
        with pytest.raises(ServerUnreachableError):
            [*client.chat_stream("a")]


@pytest.mark.parametrize("base_url", ["", "127.0.0.1:8000", "ftp://a", "grpc://a"])
def test_an_address_that_is_none(base_url: str) -> None:
    with pytest.raises(ConfigError, match="base_url is"):
        Client(base_url)


class Scripted(BaseHTTPRequestHandler):
    """Answers with what `replies` hold, one after the other."""

    replies: ClassVar[list[Callable[["Scripted"], None]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.replies.pop(0)(self)

    def log_message(self, *arguments: Any) -> None: ...

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def scripted_http() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Scripted) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def told(text: str) -> bytes:
    return json.dumps({"error": {"message": text, "type": "t", "param": None, "code": None}}).encode()


DONE = b'data: {"choices": []}\n\ndata: [DONE]\n\n'


def test_what_was_refused_for_now_is_sent_again_and_what_has_begun_is_not(scripted_http: str) -> None:
    policy = RetryPolicy(first_wait_s=0.01)
    with Client(scripted_http, retries=policy) as client:
        Scripted.replies = [
            lambda r: r.answer(503, told("full"), Retry_After="0"),
            lambda r: r.answer(429, b"<html>a proxy</html>"),
            lambda r: r.answer(200, DONE),
        ]
        assert [*client.chat_stream("a")] == [{"choices": []}]
        assert Scripted.replies == []
        for reply, words in (
            (lambda r: r.answer(500, told("broken")), "broken"),
            (lambda r: r.answer(503, told("full"), Retry_After="3600"), "full"),
            (
                lambda r: r.answer(200, b'data: {"choices": []}\n\ndata: ' + told("in the middle") + b"\n\n"),
                "in the mid",
            ),
        ):
            Scripted.replies = [reply]
            with pytest.raises(ServerError, match=words):
                [*client.chat_stream("a")]
            assert Scripted.replies == []
        Scripted.replies = [lambda r: r.answer(200, b'data: {"choices": []}\n\n')]
        with pytest.raises(ServerUnreachableError, match="before its end"):
            [*client.chat_stream("a")]


class BreaksOff(QuireServicer):  # type: ignore[misc]
    num_asked = 0

    def Generate(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.num_asked += 1
        context.send_initial_metadata((("x-request-id", "one"),))
        yield pb.GenerateEvent(id="cmpl", model="m")
        context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def test_what_has_begun_over_grpc_is_not_sent_again_also_where_the_whole_was_wanted() -> None:
    service = BreaksOff()
    server = grpc.server(ThreadPoolExecutor(1))
    add_QuireServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    policy = RetryPolicy(first_wait_s=0.01)
    with (
        Client(f"grpc://127.0.0.1:{port}", retries=policy) as client,
        pytest.raises(ServerUnreachableError, match="broke off: Socket closed") as caught,
    ):
        client.generate("once upon a time")
    assert caught.value.was_sent
    assert service.num_asked == 1
    server.stop(None)


def test_waits_double_and_give_up() -> None:
    policy = RetryPolicy(max_retries=3, first_wait_s=1, max_wait_s=10)
    passing = ServerError("full", status=503)
    waits = [policy.wait_s(number, passing) for number in range(3)]
    assert all(least <= wait <= 1.25 * least for wait, least in zip(waits, (1, 2, 4), strict=True) if wait is not None)
    assert None not in waits
    assert policy.wait_s(3, passing) is None
    assert policy.wait_s(0, ServerError("quota", status=429, retry_after_s=11)) is None
    assert policy.wait_s(0, ServerError("wrong", status=400)) is None
    assert policy.wait_s(0, ServerUnreachableError("gone", was_sent=True)) is None


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_found_wherever_the_stream_was_cut(size: int) -> None:
    first = '{"a": "\u2028\u0085\\n"}'
    stream = f"data: {first}\r\n\r\n: a comment\n\ndata:x\ndata: y\n\nevent: e\ndata: z\n\n".encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    async def found() -> list[bytes]:
        return [event async for event in events_of(pieces())]

    assert asyncio.run(found()) == [first.encode(), b"x\ny", b"z"]
