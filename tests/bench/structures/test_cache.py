"""The cases of the cache benchmark do what they say, counted independently."""

from random import Random

import pytest

from quire.bench.structures import cache
from quire.errors import ConfigError


def run(name: str, **sizes: object) -> list[dict[str, float]]:
    found = cache.cases(num_seqs=12, num_tokens=64, num_blocks=(300,), quick=True)
    wanted = [case for case in found if case.name == name and sizes.items() <= case.params.items()]
    return [dict(case.run().values) for case in wanted if case.side == "quire"]


@pytest.mark.parametrize("block_size", [16, 256])
def test_what_sharing_saves_is_the_share_of_prefixes_seen_before(block_size: int) -> None:
    rng = Random(0)
    systems = [[rng.randrange(cache.VOCABULARY) for _ in range(rng.randint(200, 800))] for _ in range(8)]
    own = [[rng.randrange(cache.VOCABULARY) for _ in range(rng.randint(50, 400))] for _ in range(500)]
    prompts = [rng.choice(systems) + tail for tail in own]
    starts = [(prompt, end) for prompt in prompts for end in range(block_size, len(prompt) + 1, block_size)]
    num_distinct = len({tuple(prompt[:end]) for prompt, end in starts})
    num_partial = sum(len(prompt) % block_size > 0 for prompt in prompts)
    num_saved = len(starts) - num_distinct
    (values,) = run("sharing", block=block_size)
    assert values["memory_saved_share"] == pytest.approx(num_saved / (len(starts) + num_partial))
    assert values["prefill_saved_share"] == pytest.approx(num_saved * block_size / sum(map(len, prompts)))


def test_memory_given_back_takes_nothing_from_the_sequences_left() -> None:
    (values,) = run("shrink")
    assert values["unchanged_share"] == 1
    assert values["fragmentation_before"] > 0.5


@pytest.mark.parametrize("name", ["sequences", "decode", "evict", "lru"])
def test_times_are_of_something(name: str) -> None:
    for values in run(name):
        assert all(value > 0 for value in values.values())


@pytest.mark.parametrize("peer", ["nano_vllm", "mini_sglang"])
def test_a_folder_without_the_peer_is_named(peer: str) -> None:
    with pytest.raises(ConfigError, match=f"{peer} is '/nowhere'"):
        cache.cases(**{peer: "/nowhere"})
