"""What a scraper reads, parsed by Prometheus' own parser and held against sums done by hand."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quire.observability.metrics import NUM_RECENT, EngineReading, RequestRecord, ServingMetrics

READING = EngineReading(2, 3, 0.25, 4, 50, 6, {"kv": 70, "prompt": 8})


def scraped(metrics: ServingMetrics) -> dict[tuple[str, ...], float]:
    """Value by name and labels, besides the model's name, which all have."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            assert sample.labels.pop("model_name") == "m"
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_requests_are_counted_and_timed() -> None:
    metrics = ServingMetrics("m", lambda: None)
    metrics.observe_request(RequestRecord(("stop",), 10, 5, queue_s=0.5, first_token_s=1.0, whole_s=3.0))
    metrics.observe_request(RequestRecord(("stop", "length"), 4, 10, queue_s=0.0, first_token_s=2.0, whole_s=6.0))
    found = scraped(metrics)
    assert (found["quire:prompt_tokens_total",], found["quire:generation_tokens_total",]) == (14, 15)
    assert found["quire:request_success_total", "stop"] == 2
    assert found["quire:request_success_total", "length"] == 1
    assert found["quire:time_to_first_token_seconds_sum",] == 3.0
    assert found["quire:e2e_request_latency_seconds_sum",] == 9.0
    assert found["quire:request_queue_time_seconds_bucket", "0.25"] == 1
    # Four tokens came in the two seconds after the first, and of two completions eight in four: 0.5 s and 1 s a token.
    assert found["quire:request_time_per_output_token_seconds_sum",] == pytest.approx(1.5)


def test_one_token_has_no_time_per_token() -> None:
    metrics = ServingMetrics("m", lambda: None)
    metrics.observe_request(RequestRecord(("length",), 3, 1, queue_s=0.0, first_token_s=1.0, whole_s=1.0))
    assert scraped(metrics)["quire:request_time_per_output_token_seconds_count",] == 0


def test_the_engine_is_read_when_scraped_and_may_not_be_there() -> None:
    readings: list[EngineReading | None] = [None]
    metrics = ServingMetrics("m", lambda: readings[-1])
    assert ("quire:num_requests_running",) not in scraped(metrics)
    readings.append(READING)
    found = scraped(metrics)
    assert (found["quire:num_requests_running",], found["quire:num_requests_waiting",]) == (2, 3)
    assert found["quire:kv_cache_usage_perc",] == 0.25
    assert (found["quire:held_tokens", "kv"], found["quire:held_tokens", "prompt"]) == (70, 8)
    counters = ("num_preemptions", "prefix_cache_hits", "engine_steps")
    assert [found[f"quire:{name}_total",] for name in counters] == [4, 50, 6]


def test_only_the_last_times_to_the_first_token_are_kept() -> None:
    metrics = ServingMetrics("m", lambda: None)
    for number in range(NUM_RECENT + 2):
        metrics.observe_request(RequestRecord(("stop",), 1, 1, 0.0, float(number), 0.0))
    assert [*metrics.recent_first_token_s] == [float(number) for number in range(2, NUM_RECENT + 2)]
