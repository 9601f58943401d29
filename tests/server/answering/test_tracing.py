"""Traces of real requests, as the SDK's own exporter got them: held against the answers and the clock of the caller."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from quire import Collection
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.observability.trace import Traces
from quire.protocol._generated import quire_pb2 as pb
from quire.protocol._generated.quire_pb2_grpc import QuireStub
from tests.patience import wait_until
from tests.rag.chunks import CAEN, ORNE
from tests.server.serving import Running, running

CHAT = "/v1/chat/completions"
SECRET = "a secret of the caller"
ASKED: dict[str, Any] = {
    "messages": [{"role": "user", "content": SECRET}],
    "max_tokens": 6,
    "temperature": 0.5,
    "seed": 7,
    "ignore_eos": True,
    "model": "alias",
}
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.fixture(scope="module")
def server(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    rivers = tmp_path_factory.mktemp("traced") / "rivers"
    with Collection.open(rivers, embedder=None) as collection:
        collection.add([{"id": "orne", "text": ORNE.text}, {"id": "caen", "text": CAEN.text}])
    config = EngineConfig(num_threads=1, max_num_seqs=16, kv_cache_memory=32 << 20)
    with running(assemble(model_path, config), grpc_port=0, collection=(str(rivers),)) as server:
        yield server


@pytest.fixture
def spans(server: Running) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server.state.traces = Traces(provider)
    yield exporter
    server.state.traces = None


def told(exporter: InMemorySpanExporter) -> tuple[ReadableSpan, list[ReadableSpan]]:
    """The request's span, and those below it by their beginning. It ends after the answer has gone out."""
    wait_until(lambda: any(span.kind is SpanKind.SERVER for span in exporter.get_finished_spans()))
    found = exporter.get_finished_spans()
    (request,) = [span for span in found if span.kind is SpanKind.SERVER]
    phases = [span for span in found if span is not request]
    for phase in phases:
        assert (phase.parent.span_id, phase.context.trace_id) == (request.context.span_id, request.context.trace_id)
    return request, sorted(phases, key=lambda span: span.start_time)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_request_is_a_span_below_the_callers_and_its_phases_follow_each_other(
    server: Running, spans: InMemorySpanExporter, is_stream: bool
) -> None:
    before_ns = time.time_ns()
    reply = server.ask(CHAT, {**ASKED, "stream": is_stream}, traceparent=PARENT, x_request_id="mine-1")
    request, phases = told(spans)
    after_ns = time.time_ns()
    assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE_ID, SPAN_ID)
    assert request.name == "chat alias"
    assert [phase.name for phase in phases] == ["queue", "prefill", "decode"]
    queue, prefill, decode = phases
    times = [before_ns, request.start_time, queue.start_time, queue.end_time, prefill.end_time, decode.end_time]
    assert times == sorted(times)
    assert (queue.end_time, prefill.end_time) == (prefill.start_time, decode.start_time)
    assert decode.end_time <= request.end_time <= after_ns
    facts = dict(request.attributes or {})
    if not is_stream:
        answer, usage = reply.json, reply.json["usage"]
        assert facts["gen_ai.response.id"] == answer["id"]
        assert facts["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
        assert facts["gen_ai.usage.output_tokens"] == usage["completion_tokens"] == 6
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "quire",
        "gen_ai.request.model": "alias",
        "gen_ai.request.max_tokens": 6,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.response.finish_reasons": ("length",),
        "http.route": CHAT,
        "http.response.status_code": 200,
        "quire.request_id": "mine-1",
    }
    assert expected.items() <= facts.items()
    assert decode.attributes == {"gen_ai.usage.output_tokens": 6}
    assert SECRET not in request.to_json() + decode.to_json() + prefill.to_json()


def test_what_was_cached_is_told(server: Running, spans: InMemorySpanExporter) -> None:
    asked = {"prompt": [*range(40, 100)], "max_tokens": 2, "ignore_eos": True}
    server.ask("/v1/completions", asked)
    spans.clear()
    usage = server.ask("/v1/completions", asked).json["usage"]
    request, phases = told(spans)
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached > 0
    assert request.attributes["gen_ai.usage.cache_read.input_tokens"] == cached
    assert phases[1].attributes == {"gen_ai.usage.input_tokens": 60, "gen_ai.usage.cache_read.input_tokens": cached}
    assert request.name == "text_completion tiny"


def test_several_prompts_have_their_phases_each(server: Running, spans: InMemorySpanExporter) -> None:
    asked = {"prompt": ["One", "Another one"], "n": 2, "max_tokens": 3, "ignore_eos": True}
    usage = server.ask("/v1/completions", asked).json["usage"]
    request, phases = told(spans)
    assert sorted(phase.name for phase in phases) == ["decode", "decode", "prefill", "prefill", "queue", "queue"]
    facts = request.attributes
    assert facts["gen_ai.usage.output_tokens"] == usage["completion_tokens"] == 12
    assert facts["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
    assert facts["gen_ai.response.finish_reasons"] == ("length",) * 4
    assert facts["gen_ai.request.choice.count"] == 2


def test_a_search_for_passages_comes_before_the_queue(server: Running, spans: InMemorySpanExporter) -> None:
    question = [{"role": "user", "content": "When was the Orne mapped?"}]
    assert server.ask(CHAT, {**ASKED, "messages": question, "collection": "rivers"}).status == 200
    _, (search, queue, *_) = told(spans)
    assert search.name == "retrieval rivers"
    assert search.attributes == {"gen_ai.operation.name": "retrieval", "gen_ai.data_source.id": "rivers"}
    assert search.end_time <= queue.start_time


def test_embeddings_have_a_span_too(server: Running, spans: InMemorySpanExporter) -> None:
    usage = server.ask("/v1/embeddings", {"input": ["One", "Two"]}).json["usage"]
    request, _ = told(spans)
    assert request.name == "embeddings tiny"
    assert request.attributes["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]


def test_mistakes_of_the_caller_are_no_errors_of_ours(server: Running, spans: InMemorySpanExporter) -> None:
    assert server.ask(CHAT, {**ASKED, "model": "gpt-9"}).status == 404
    request, phases = told(spans)
    assert (request.name, phases) == (f"POST {CHAT}", [])
    assert request.attributes["http.response.status_code"] == 404
    assert request.status.status_code is StatusCode.UNSET


def test_our_faults_are_errors(server: Running, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("meant to fail")

    monkeypatch.setattr(server.state.engine, "prepare", fail)
    assert server.ask("/v1/completions", {"prompt": "x"}).status == 500
    request, _ = told(spans)
    assert request.status.status_code is StatusCode.ERROR
    assert request.attributes["error.type"] == "500"


def test_who_only_watches_is_not_followed(server: Running, spans: InMemorySpanExporter) -> None:
    for path in ("/health", "/ready", "/metrics", "/live"):
        assert server.ask(path).status == 200
    server.ask("/v1/models")
    request, _ = told(spans)
    assert request.name == "GET /v1/models"


def test_over_grpc_the_same(server: Running, spans: InMemorySpanExporter) -> None:
    asked = pb.GenerateRequest(prompt=["One"], max_tokens=3, sampling=pb.Sampling(ignore_eos=True))
    with grpc.insecure_channel(f"127.0.0.1:{server.state.grpc_port}") as channel:
        [*QuireStub(channel).Generate(asked, metadata=(("traceparent", PARENT),))]
    request, phases = told(spans)
    assert (request.name, f"{request.parent.span_id:016x}") == ("text_completion tiny", SPAN_ID)
    assert [phase.name for phase in phases] == ["queue", "prefill", "decode"]
    assert request.attributes["url.path"] == "/quire.v1.Quire/Generate"
