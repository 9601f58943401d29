"""The cases ask for what their table says, and run on any model directory."""

import math
from pathlib import Path

import pytest

from quire.bench.generation import engine
from quire.bench.generation.random_model import CONFIG, _shapes
from quire.bench.harness import measure
from quire.errors import ConfigError
from tests.models.tiny import write_tiny


def test_every_case_runs(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3", vocab_size=engine.HIGHEST_ID, max_position_embeddings=2048)
    cases = engine.cases(model=str(tmp_path), weights="bf16,int8", threads=1, quick=True)
    results = {(r.name, r.params["weights"]): r.values for r in measure(cases, repetitions=1, warmup=0)}
    assert [name for name, weights in results if weights == "int8"] == list("abcde")
    metrics = {name: set(results[name, "bf16"]) for name in "abcde"}
    assert metrics == {
        "a": {"first_token_s", "decode_tokens_per_s"},
        "b": {"prefill_tokens_per_s"},
        "c": {"wall_s", "output_tokens_per_s"},
        "d": {"cold_s", "warm_s"},
        "e": {"first_token_s", "peak_rss_gib"},
    }


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
