"""Whether traces are sent, where to and how; what they tell is tested with the server."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from quire.errors import ConfigError
from quire.observability.trace import UNTRACED, _exporter, open_traces


class Collector(HTTPServer):
    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], ExportTraceServiceRequest]] = []
        super().__init__(("127.0.0.1", 0), Receiver)

    @property
    def spans(self) -> list[Any]:
        return [s for _, _, got in self.got for r in got.resource_spans for scope in r.scope_spans for s in scope.spans]


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, dict(self.headers), ExportTraceServiceRequest.FromString(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL", "COMPRESSION"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def service_of(collector: Collector) -> str:
    (resource,) = {str(r.resource) for _, _, got in collector.got for r in got.resource_spans}
    return resource


def test_without_an_endpoint_there_is_none_and_nothing_is_loaded() -> None:
    assert open_traces(None) is None
    code = (
        "import sys; from quire.observability.trace import open_traces; open_traces(None); "
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_spans_arrive_at_the_endpoint_that_was_given(collector: Collector) -> None:
    traces = open_traces(f"http://127.0.0.1:{collector.server_port}/v1/traces")
    assert traces is not None
    trace = traces.begin("chat tiny", {})
    trace.add({"gen_ai.request.max_tokens": 3, "gen_ai.request.seed": None})
    trace.phase("queue", 1.0, 2.5)
    trace.end()
    traces.close()
    assert {path for path, _, _ in collector.got} == {"/v1/traces"}
    queue, request = collector.spans
    assert (queue.name, request.name) == ("queue", "chat tiny")
    assert (queue.parent_span_id, queue.trace_id) == (request.span_id, request.trace_id)
    assert queue.end_time_unix_nano - queue.start_time_unix_nano == 1_500_000_000
    assert [(fact.key, fact.value.int_value) for fact in request.attributes] == [("gen_ai.request.max_tokens", 3)]
    assert 'string_value: "quire"' in service_of(collector)


def test_opentelemetrys_own_variables_are_enough(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "librarian")
    traces = open_traces(None)
    assert traces is not None
    traces.begin("a", {}).end()
    traces.close()
    assert [path for path, _, _ in collector.got] == ["/v1/traces"]
    assert 'string_value: "librarian"' in service_of(collector)


def test_what_is_not_sampled_is_not_followed(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    traces = open_traces(f"http://127.0.0.1:{collector.server_port}/v1/traces")
    assert traces is not None
    assert not traces.begin("a", {}).is_followed
    wanted = traces.begin("b", {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert (wanted.is_followed, wanted.trace_id) == (True, "a" * 32)
    wanted.end()
    traces.close()
    assert [span.name for span in collector.spans] == ["b"]


@pytest.mark.parametrize(
    "endpoint", ["localhost:4317", "ftp://x", "http://", "collector", "http://x:99999", "http://[x"]
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"otlp_traces_endpoint is .*; allowed: http://HOST:4317"):
        open_traces(endpoint)


def test_an_address_without_a_scheme_is_that_of_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")
    assert type(_exporter("localhost:4317", is_given=False)).__module__.startswith(
        "opentelemetry.exporter.otlp.proto.grpc"
    )


def test_a_protocol_nobody_speaks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(ConfigError, match="'http/json'; allowed: 'grpc', 'http/protobuf'"):
        open_traces("http://localhost:4317")


def test_without_the_extra_a_flag_says_what_to_install_and_a_variable_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigError, match=r"pip install 'quire\[otel\]'"):
        open_traces("http://localhost:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")
    logging.getLogger("quire").propagate = True
    assert open_traces(None) is None
    assert "quire[otel]" in caplog.text


def test_who_is_not_followed_may_be_told_everything() -> None:
    UNTRACED.rename("a")
    UNTRACED.add({"b": 1})
    UNTRACED.phase("c", 0.0, 1.0)
    UNTRACED.end("500")
    assert (UNTRACED.is_followed, UNTRACED.trace_id) == (False, None)
