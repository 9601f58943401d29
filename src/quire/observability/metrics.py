"""What a scraper sees of a server: vLLM's names under `quire:`, in a registry of its own.

Gauges and the engine's own counters are read when scraped; the rest is told here, number by number. Knows nothing of
engines and requests.

Thread safety: any thread.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640)
_SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10)
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)

NUM_RECENT = 128
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class EngineReading:
    """What the engine says of itself at one moment."""

    num_running: int
    num_waiting: int
    kv_cache_usage: float
    """Share of the blocks that running sequences hold."""
    num_preemptions: int
    num_cached_tokens: int
    num_steps: int
    held_tokens: Mapping[str, int]
    """Of each kind in the budget: what requests and the cache hold."""


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """A request that ended, with times in seconds."""

    finish_reasons: tuple[str, ...]
    num_prompt_tokens: int
    num_output_tokens: int
    queue_s: float
    first_token_s: float
    whole_s: float


class ServingMetrics:
    def __init__(self, model_name: str, read_engine: Callable[[], EngineReading | None]) -> None:
        """`read_engine` gives None while there is no engine."""
        self._registry = CollectorRegistry()
        self._registry.register(_EngineCollector(model_name, read_engine))
        self._model_name = model_name
        self._prompt_tokens = self._counter("prompt_tokens", "Tokens of prompts.").labels(model_name)
        self._output_tokens = self._counter("generation_tokens", "Tokens generated.").labels(model_name)
        self._success = self._counter("request_success", "Completions that ended, and why.", "finished_reason")
        self._refused = self._counter("requests_refused", "Requests that were not let in.", "status")
        self._http = self._counter("http_requests", "HTTP requests answered.", "path", "status")
        self._searches = self._counter("collection_searches", "Searches of collections.").labels(model_name)
        self._written = self._counter("documents_written", "Documents added or replaced.").labels(model_name)
        self._deleted = self._counter("documents_deleted", "Documents taken out.").labels(model_name)
        self._embedded = self._counter("embedded_texts", "Texts the embedding model read.").labels(model_name)
        self._reranked = self._counter("reranked_texts", "Texts the reranker read.").labels(model_name)
        self._first_token = self._seconds("time_to_first_token_seconds", "From arrival to the first token.")
        self._whole = self._seconds("e2e_request_latency_seconds", "From arrival to the last token.")
        self._queue = self._seconds("request_queue_time_seconds", "From arrival to the first step.")
        self._per_token = self._seconds(
            "request_time_per_output_token_seconds", "Mean over a request, after its first token.", _SHORT_SECONDS
        )
        self._gap = self._seconds("inter_token_latency_seconds", "Between tokens of streams.", _SHORT_SECONDS)
        self._prompt_sizes = self._sizes("request_prompt_tokens", "Prompt tokens of a request.")
        self._output_sizes = self._sizes("request_generation_tokens", "Output tokens of a request.")

        self.recent_first_token_s: deque[float] = deque(maxlen=NUM_RECENT)
        """Of the requests that ended last."""

    def observe_request(self, record: RequestRecord) -> None:
        self.recent_first_token_s.append(record.first_token_s)
        for reason in record.finish_reasons:
            self._success.labels(self._model_name, reason).inc()
        self._prompt_tokens.inc(record.num_prompt_tokens)
        self._output_tokens.inc(record.num_output_tokens)
        self._prompt_sizes.observe(record.num_prompt_tokens)
        self._output_sizes.observe(record.num_output_tokens)
        self._queue.observe(record.queue_s)
        self._first_token.observe(record.first_token_s)
        self._whole.observe(record.whole_s)
        num_later = record.num_output_tokens - len(record.finish_reasons)
        if num_later > 0:
            self._per_token.observe((record.whole_s - record.first_token_s) * len(record.finish_reasons) / num_later)

    def observe_gap(self, seconds: float) -> None:
        self._gap.observe(seconds)

    def count_refusal(self, status: int) -> None:
        self._refused.labels(self._model_name, str(status)).inc()

    def count_http(self, path: str, status: int) -> None:
        """`path` is the route's pattern, so that there are no more series than routes."""
        self._http.labels(self._model_name, path, str(status)).inc()

    def count_search(self) -> None:
        """Of a collection, for a chat or by itself."""
        self._searches.inc()

    def count_written(self, num_documents: int) -> None:
        self._written.inc(num_documents)

    def count_deleted(self, num_documents: int) -> None:
        self._deleted.inc(num_documents)

    def count_embedded(self, num_texts: int) -> None:
        self._embedded.inc(num_texts)

    def count_reranked(self, num_texts: int) -> None:
        self._reranked.inc(num_texts)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"quire:{name}", help_, ("model_name", *labels), registry=self._registry)

    def _seconds(self, name: str, help_: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        made = Histogram(f"quire:{name}", help_, ("model_name",), registry=self._registry, buckets=buckets)
        return made.labels(self._model_name)

    def _sizes(self, name: str, help_: str) -> Histogram:
        return self._seconds(name, help_, _TOKENS)


class _EngineCollector(Collector):
    """Reads the engine when scraped."""

    def __init__(self, model_name: str, read: Callable[[], EngineReading | None]) -> None:
        self._model_name = model_name
        self._read = read

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        if reading is None:
            return
        for name, help_, value in (
            ("num_requests_running", "Sequences that run.", reading.num_running),
            ("num_requests_waiting", "Sequences that wait.", reading.num_waiting),
            ("kv_cache_usage_perc", "Share of the KV blocks in use; 1 is all.", reading.kv_cache_usage),
        ):
            gauge = GaugeMetricFamily(f"quire:{name}", help_, labels=["model_name"])
            gauge.add_metric([self._model_name], value)
            yield gauge
        held = GaugeMetricFamily("quire:held_tokens", "Tokens held, by kind.", labels=["model_name", "kind"])
        for kind, amount in reading.held_tokens.items():
            held.add_metric([self._model_name, kind], amount)
        yield held
        for name, help_, value in (
            ("num_preemptions", "Sequences put back for want of KV blocks.", reading.num_preemptions),
            ("prefix_cache_hits", "Prompt tokens found in the prefix cache.", reading.num_cached_tokens),
            ("engine_steps", "Steps of the engine.", reading.num_steps),
        ):
            counter = CounterMetricFamily(f"quire:{name}", help_, labels=["model_name"])
            counter.add_metric([self._model_name], value)
            yield counter
