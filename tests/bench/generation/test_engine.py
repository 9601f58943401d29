"""The cases ask for what their table says, and run on any model directory."""

import math
import random
from pathlib import Path

import pytest

from quire.bench.generation import engine, latency, startup, throughput, workloads
from quire.bench.generation.random_model import CONFIG, _shapes
from quire.bench.harness import measure
from quire.errors import ConfigError
from tests.models.tiny import write_tiny


def test_every_case_runs(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3", vocab_size=workloads.HIGHEST_ID, max_position_embeddings=2048)
    cases = engine.cases(model=str(tmp_path), weights="bf16,int8", threads=1, quick=True)
    results = {(r.name, r.params["weights"]): r.values for r in measure(cases, repetitions=1, warmup=0)}
    assert [name for name, weights in results if weights == "int8"] == list("abcde")
    metrics = {name: set(results[name, "bf16"]) for name in "abcde"}
    assert metrics == {
        "a": {"first_token_s", "decode_tokens_per_s"},
        "b": {"first_token_s", "prefill_tokens_per_s"},
        "c": {"wall_s", "output_tokens_per_s"},
        "d": {"cold_s", "warm_s"},
        "e": {"first_token_s", "loaded_s", "peak_rss_gib", "peak_anon_gib"},
    }
    start = results["e", "bf16"]
    assert start["loaded_s"][0] < start["first_token_s"][0]
    assert 0 < start["peak_anon_gib"][0] <= start["peak_rss_gib"][0]


def test_latency_throughput_and_startup_are_the_same_cases(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3", vocab_size=workloads.HIGHEST_ID, max_position_embeddings=2048)
    asked = {"model": str(tmp_path), "threads": 1, "quick": True}
    assert [case.name for case in startup.cases(**asked)] == ["e"]
    assert [case.name for case in latency.cases(**asked)] == ["a", "b"]
    made = throughput.cases(**asked, batch_sizes=(1, 40), tail=True)
    results = measure(made, repetitions=2, warmup=0)
    assert [(result.name, result.params.get("batch")) for result in results] == [
        ("c", None),
        ("d", None),
        ("batch", 1),
        ("batch", 40),
    ]
    many, shared, one, forty = results
    assert {name: len(found) for name, found in many.samples.items()} == dict.fromkeys(
        ("ttft_ms", "tpot_ms", "e2e_ms"), 8
    )
    assert len(shared.samples["warm_ttft_ms"]) == 4
    assert forty.tail is not None
    assert max(part.slow for part in forty.tail.facts if part.name == "sequences") <= 40
    assert 0 < one.values["kernels_share"][0] < 1
    assert one.tail is not None
    stages = {stage.name: stage for stage in one.tail.stages}
    kernels = {"linear", "attention", "store", "rows"}
    assert set(stages) == {"schedule", "prepare", "forward", "sample", "text", "rest"} | kernels
    assert min(stages[name].median for name in kernels) > 0  # in steps that are replayed too, which most are


def test_lengths_are_those_of_the_peers() -> None:
    lengths = random.Random(0)
    shapes = [(lengths.randint(100, 512), lengths.randint(32, 128)) for _ in range(32)]
    assert (sum(n for n, _ in shapes), sum(n for _, n in shapes)) == (10_834, 2_359)


def test_the_random_model_is_of_the_size_of_qwen3() -> None:
    numbers = sum(math.prod(shape) for shape in _shapes().values())
    assert numbers == 596_049_920
    assert CONFIG["head_dim"] == 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"only": "az"}, "only is 'az'; allowed: letters of abcde"), ({"weights": "int3"}, "weights has 'int3'")],
)
def test_what_there_is_not(arguments: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        engine.cases(model="anywhere", **arguments)
