"""The cache shrinks while the system is short of memory and grows back when it is not; nothing that runs is lost."""

from pathlib import Path

import pytest

from quire import LLM, SamplingParams
from quire.engine.memory_guard import MemoryGuard
from quire.errors import CapacityError
from tests.fakes import fake_engine, greedy
from tests.models.tiny import write_tiny

LIMITS = (10, 800)


def guard(free: list[int], min_free: int | None = 1000) -> MemoryGuard:
    return MemoryGuard(10, min_free, available_bytes=lambda: free[0])


def test_short_of_memory() -> None:
    free = [999]
    assert guard(free).wanted_blocks(800, LIMITS, 0.0) == 700  # an 8th at least: blocks may hold nothing
    free[0] = -2000
    assert guard(free).wanted_blocks(800, LIMITS, 0.0) == 500  # or all that is missing
    assert guard(free).wanted_blocks(50, LIMITS, 0.0) == 10  # but never less than one sequence needs


def test_grows_again_only_with_room_to_spare() -> None:
    free = [1999]
    assert guard(free).wanted_blocks(500, LIMITS, 0.0) == 500
    free[0] = 2600
    assert guard(free).wanted_blocks(500, LIMITS, 0.0) == 600
    assert guard(free).wanted_blocks(750, LIMITS, 0.0) == 800
    assert guard(free).wanted_blocks(800, LIMITS, 0.0) == 800


def test_asks_once_an_interval_and_never_when_switched_off() -> None:
    free = [0]
    asked = guard(free)
    assert asked.wanted_blocks(800, LIMITS, 5.0) == 700
    assert asked.wanted_blocks(700, LIMITS, 5.9) == 700
    assert asked.wanted_blocks(700, LIMITS, 6.0) == 600
    assert guard(free, min_free=0).wanted_blocks(800, LIMITS, 0.0) == 800


def test_running_sequences_survive_a_smaller_cache() -> None:
    engine, _ = fake_engine(num_blocks=64)
    prompts = [[i + 5] * 10 for i in range(6)]
    for i, prompt in enumerate(prompts):
        engine.add_request(str(i), {"prompt_token_ids": prompt}, SamplingParams(temperature=0, max_tokens=20))
    for _ in range(5):
        engine.step()
    engine.resize_cache(16)
    engine.check_invariants()
    outputs = {}
    while engine.has_unfinished:
        outputs |= {output.request_id: output for output in engine.step()}
    assert [outputs[str(i)].outputs[0].token_ids for i in range(6)] == [greedy(prompt, 20) for prompt in prompts]
    assert engine.stats().num_preemptions > 0
    engine.resize_cache(64)
    assert engine.stats().num_free_blocks == 64
    for outside in (15, 65):
        with pytest.raises(CapacityError, match="allowed: 16 to 64"):
            engine.resize_cache(outside)


def test_the_engine_minds_memory_by_itself() -> None:
    now_s, free = [0.0], [1 << 40]
    engine, _ = fake_engine(num_blocks=64, clock=lambda: now_s[0])
    engine._memory_guard = MemoryGuard(10, 1000, available_bytes=lambda: free[0])
    engine.add_request("a", {"prompt_token_ids": [5] * 10}, SamplingParams(temperature=0, max_tokens=40))
    engine.step()
    assert engine.stats().num_blocks == 64
    free[0], now_s[0] = 0, 1.0
    engine.step()
    assert engine.stats().num_blocks == 16
    free[0], now_s[0] = 1 << 40, 2.0
    engine.step()
    assert engine.stats().num_blocks == 24
    tokens: list[int] = []
    while engine.has_unfinished:
        for output in engine.step():
            tokens = output.outputs[0].token_ids
    assert tokens == greedy([5] * 10, 40)


def test_a_real_cache_moves_without_changing_a_token(tmp_path: Path) -> None:
    write_tiny(tmp_path, "qwen3")
    params = SamplingParams(temperature=0, max_tokens=30, ignore_eos=True)
    prompts = [{"prompt_token_ids": [7 + i] * (20 + i)} for i in range(4)]
    with LLM(tmp_path, num_threads=1, max_model_len=64) as llm:
        expected = [output.outputs[0].token_ids for output in llm.generate(prompts, params, use_tqdm=False)]
        streams = [llm.stream(prompt, params) for prompt in prompts]
        tokens = [next(stream).outputs[0].token_ids for stream in streams]
        engine = llm._live
        for num_blocks in (engine.stats().num_blocks, 12, 4, 12):
            engine.resize_cache(num_blocks)
            for got, stream in zip(tokens, streams, strict=True):
                got += next(stream).outputs[0].token_ids
        for got, stream in zip(tokens, streams, strict=True):
            for output in stream:
                got += output.outputs[0].token_ids
        assert tokens == expected
