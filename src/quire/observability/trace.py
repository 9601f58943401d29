"""Traces of requests: a span for each, its phases as spans below it, sent over OTLP where that was asked for.

Nothing of OpenTelemetry is loaded before `open_traces` finds it wanted; elsewhere every request has `UNTRACED`, which
forgets what it is told. Times are seconds of `time.monotonic`, as all here measure them; a trace knows what they are on
the wall clock. Knows nothing of engines and requests, and is told nothing of what prompts and answers hold.

Thread safety: any thread.
"""

import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from quire.errors import ConfigError, shown

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

Fact: TypeAlias = bool | int | float | str | list[str] | None
"""None is left out."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SCHEMES = {"http": "http", "https": "https", "grpc": "http", "grpcs": "https"}
_HTTP_PORT = 4318
_MISSING = "OpenTelemetry is not installed; pip install 'quire[otel]'."


class Trace:
    """Of a request that nobody follows."""

    is_followed = False
    trace_id: str | None = None

    def rename(self, name: str) -> None:
        """Calls the request by what was asked, once that is known."""

    def add(self, facts: Mapping[str, Fact]) -> None:
        """Facts about the whole request."""

    def phase(self, name: str, start_s: float, end_s: float, facts: Mapping[str, Fact] | None = None) -> None:
        """A part of the request's time that is over."""

    def end(self, error: str | None = None) -> None:
        """`error` is the kind of it, where the request failed for a fault of ours."""


UNTRACED = Trace()


class Traces:
    """Where the spans of requests go."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("quire")
        self._context = TraceContextTextMapPropagator()

    def begin(self, name: str, headers: Mapping[str, str]) -> Trace:
        """The trace of a request that begins now, below the span that `traceparent` names, where it names one."""
        return _Span(self._tracer, name, self._context.extract(headers))

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


class _Span(Trace):
    def __init__(self, tracer: Any, name: str, outer: Any) -> None:
        from opentelemetry.trace import SpanKind, format_trace_id, set_span_in_context

        self._tracer = tracer
        self._ahead_ns = time.time_ns() - time.monotonic_ns()
        self._span = tracer.start_span(name, outer, kind=SpanKind.SERVER, start_time=self._at(time.monotonic()))
        self._inside = set_span_in_context(self._span)
        self.is_followed = self._span.is_recording()
        self.trace_id = format_trace_id(self._span.get_span_context().trace_id) if self.is_followed else None

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def add(self, facts: Mapping[str, Fact]) -> None:
        self._span.set_attributes(_known(facts))

    def phase(self, name: str, start_s: float, end_s: float, facts: Mapping[str, Fact] | None = None) -> None:
        span = self._tracer.start_span(name, self._inside, attributes=_known(facts or {}), start_time=self._at(start_s))
        span.end(self._at(end_s))

    def end(self, error: str | None = None) -> None:
        if error is not None:
            from opentelemetry.trace import StatusCode

            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)
        self._span.end(self._at(time.monotonic()))

    def _at(self, monotonic_s: float) -> int:
        return self._ahead_ns + round(monotonic_s * 1e9)


def open_traces(endpoint: str | None) -> Traces | None:
    """Traces to a collector at `endpoint`, or at the one that OpenTelemetry's own variables name; None where neither is
    there. Raises ConfigError for an endpoint that is none, or where the extra is not installed; the variables alone,
    which may be meant for others, are then passed over with a warning."""
    place = endpoint or next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    if place is None:
        return None
    try:
        return Traces(_provider(place, is_given=endpoint is not None))
    except ImportError as error:
        if endpoint is not None:
            raise ConfigError(f"otlp_traces_endpoint is {shown(endpoint)}, and {_MISSING}") from error
        log.warning("no traces are sent to %s: %s", place, _MISSING)
        return None


def _provider(place: str, *, is_given: bool) -> "TracerProvider":
    """Sampling, batches, headers and the name of the service are as OpenTelemetry's variables say."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "quire"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(place, is_given=is_given)))
    return provider


def _exporter(place: str, *, is_given: bool) -> Any:
    """Over gRPC, unless the variables or the address say HTTP. What the variables name, the exporter reads itself."""
    url = _address(place)
    if is_given and (url.scheme not in _SCHEMES or not url.netloc):
        raise ConfigError(
            f"otlp_traces_endpoint is {shown(place)}; allowed: http://HOST:4317 (gRPC), http://HOST:4318/v1/traces, or "
            "the same with https."
        )
    is_http = bool(url.netloc) and (url.port == _HTTP_PORT or bool(url.path.strip("/")))
    named = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), None)
    protocol = named or ("http/protobuf" if is_http else "grpc")
    endpoint = url._replace(scheme=_SCHEMES[url.scheme]).geturl() if is_given else None
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint)
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter

        return HttpSpanExporter(endpoint=endpoint)
    raise ConfigError(f"{_PROTOCOLS[0]} is {shown(protocol)}; allowed: 'grpc', 'http/protobuf'.")


def _address(place: str) -> SplitResult:
    """Empty where it is none."""
    try:
        url = urlsplit(place)
        _ = url.port  # it is looked at when it is asked for
    except ValueError:
        return urlsplit("")
    return url


def _known(facts: Mapping[str, Fact]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}
