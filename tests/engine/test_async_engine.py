"""One async stream per request, in front of the engine's own thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from quire.cache.events import BlockEvent
from quire.engine.async_engine import AsyncEngine
from quire.engine.outputs import OutputKind
from quire.errors import EngineClosedError, InvalidRequestError
from quire.sampling_params import SamplingParams
from tests.fakes import fake_engine, greedy
from tests.patience import PATIENCE_S

PROMPT = list(range(10, 30))
GREEDY = SamplingParams(temperature=0, max_tokens=8)


def on_engine(test: Callable[[AsyncEngine], Coroutine[Any, Any, None]], **knobs: object) -> AsyncEngine:
    """Runs the test in an event loop and closes the engine; afterwards no block may be held."""
    inner, _ = fake_engine(num_blocks=256, **knobs)
    engine = AsyncEngine(inner)
    try:
        asyncio.run(asyncio.wait_for(test(engine), PATIENCE_S))
    finally:
        engine.close()
    assert inner.scheduler.blocks.num_free_blocks == 256
    assert not inner.has_unfinished
    return engine


async def tokens_of(engine: AsyncEngine, prompt: list[int], params: SamplingParams = GREEDY) -> list[int]:
    tokens: list[int] = []
    async for output in engine.generate({"prompt_token_ids": prompt}, params):
        tokens += output.outputs[0].token_ids
    return tokens


def test_streams_run_together_and_each_gets_its_own() -> None:
    async def test(engine: AsyncEngine) -> None:
        prompts = [[i + 5, *PROMPT] for i in range(20)]
        results = await asyncio.gather(*(tokens_of(engine, prompt) for prompt in prompts))
        assert results == [greedy(prompt, 8) for prompt in prompts]

    on_engine(test)


def test_a_final_output_comes_once() -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = engine.generate({"prompt_token_ids": PROMPT}, GREEDY, output_kind=OutputKind.FINAL)
        outputs = [output async for output in stream]
        assert [output.outputs[0].token_ids for output in outputs] == [greedy(PROMPT, 8)]

    on_engine(test)


def test_leaving_the_stream_aborts_the_request() -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = engine.generate({"prompt_token_ids": PROMPT}, SamplingParams(max_tokens=None, seed=1))
        async for _ in stream:
            break
        await stream.aclose()
        cancelled = asyncio.create_task(tokens_of(engine, PROMPT, SamplingParams(max_tokens=None, seed=2)))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        assert await tokens_of(engine, PROMPT) == greedy(PROMPT, 8)

    on_engine(test)


def test_bad_requests_harm_nobody() -> None:
    async def test(engine: AsyncEngine) -> None:
        good = asyncio.create_task(tokens_of(engine, PROMPT))
        with pytest.raises(InvalidRequestError, match="prompt is empty"):
            await tokens_of(engine, [])
        first = engine.generate({"prompt_token_ids": PROMPT}, SamplingParams(max_tokens=None), request_id="same")
        await anext(first)
        with pytest.raises(InvalidRequestError, match="already running"):
            await anext(engine.generate({"prompt_token_ids": PROMPT}, GREEDY, request_id="same"))
        assert await good == greedy(PROMPT, 8)

    on_engine(test)


def test_abort_by_id_ends_the_stream() -> None:
    async def test(engine: AsyncEngine) -> None:
        stream = engine.generate({"prompt_token_ids": PROMPT}, SamplingParams(max_tokens=None), request_id="x")
        await anext(stream)
        engine.abort("x")
        engine.abort("nobody")
        with pytest.raises(EngineClosedError, match="'x' was aborted"):
            async for _ in stream:
                pass

    on_engine(test, max_model_len=1000)


def test_after_closing_nothing_can_be_asked() -> None:
    async def test(engine: AsyncEngine) -> None:
        assert await tokens_of(engine, PROMPT) == greedy(PROMPT, 8)

    engine = on_engine(test)
    with pytest.raises(EngineClosedError, match="closed"):
        asyncio.run(tokens_of(engine, PROMPT))


def test_an_engine_that_dies_tells_all_who_wait_also_those_who_came_during_its_last_step() -> None:
    in_step, may_fail = threading.Event(), threading.Event()

    def observer(_: BlockEvent) -> None:
        if not may_fail.is_set():
            in_step.set()
            may_fail.wait(PATIENCE_S)
            raise EngineClosedError("a rank is gone")

    async def test(engine: AsyncEngine) -> None:
        streams = [engine.generate(await engine.prepare({"prompt_token_ids": PROMPT}, GREEDY)) for _ in range(2)]
        early = asyncio.create_task(anext(streams[0]))
        await asyncio.to_thread(in_step.wait, PATIENCE_S)
        late = asyncio.create_task(anext(streams[1]))
        await asyncio.sleep(0)  # it has asked
        may_fail.set()
        ends = await asyncio.gather(early, late, return_exceptions=True)
        assert [(type(end), str(end.__cause__)) for end in ends] == [(EngineClosedError, "a rank is gone")] * 2
        assert not engine.is_alive

    on_engine(test, observer=observer)


def test_a_refusal_for_a_reader_whose_loop_is_gone_harms_nobody() -> None:
    is_gone = threading.Event()
    inner, _ = fake_engine(observer=lambda _: is_gone.wait(PATIENCE_S))
    engine = AsyncEngine(inner)
    prepared = inner.prepare({"prompt_token_ids": PROMPT}, SamplingParams(max_tokens=None))

    async def ask_and_leave() -> None:
        asking = [asyncio.create_task(anext(engine.generate(prepared, request_id="same"))) for _ in range(2)]
        await asyncio.sleep(0)  # both have asked, and the second is to be refused
        assert not any(task.done() for task in asking)

    asyncio.run(ask_and_leave())
    is_gone.set()
    assert asyncio.run(tokens_of(engine, PROMPT)) == greedy(PROMPT, 8)
    engine.close()


def test_a_step_that_closes_the_engine_was_its_last() -> None:
    inner, executor = fake_engine()
    executor.fail_at_step, executor.failure = 3, EngineClosedError("a rank is gone")
    engine = AsyncEngine(inner)
    with pytest.raises(EngineClosedError) as ended:
        asyncio.run(tokens_of(engine, PROMPT))
    assert str(ended.value.__cause__) == "a rank is gone"
    assert not engine.is_alive
    engine.close()


def test_embed() -> None:
    async def test(engine: AsyncEngine) -> None:
        output = await engine.embed({"prompt_token_ids": PROMPT})
        assert output.embedding.shape == (2,)

    on_engine(test)


def test_requests_held_back_for_company_start_when_the_wait_is_over() -> None:
    async def test(engine: AsyncEngine) -> None:
        assert await tokens_of(engine, PROMPT) == greedy(PROMPT, 8)

    on_engine(test, max_wait_ms=20)


def test_what_is_ready_together_comes_together_and_leaving_ends_them_all() -> None:
    async def test(engine: AsyncEngine) -> None:
        prompts = {"a": PROMPT, "b": PROMPT[3:]}
        prepared = {name: await engine.prepare({"prompt_token_ids": ids}, GREEDY) for name, ids in prompts.items()}
        stream = engine.generate_all(prepared)
        batches = [await anext(stream)]
        while engine.stats().num_running:
            await asyncio.sleep(0.001)
        batches += [batch async for batch in stream]
        assert len(batches) <= 3  # and there were eight steps
        for name, ids in prompts.items():
            mine = [output.outputs[0] for batch in batches for output in batch if output.request_id == name]
            assert [token_id for piece in mine for token_id in piece.token_ids] == greedy(ids, 8)
        endless = await engine.prepare({"prompt_token_ids": PROMPT}, SamplingParams(max_tokens=None))
        stream = engine.generate_all({"c": endless, "d": endless})
        await anext(stream)
        await stream.aclose()

    on_engine(test, max_model_len=200)


def test_an_error_of_one_ends_those_that_are_read_with_it() -> None:
    async def test(engine: AsyncEngine) -> None:
        prepared = await engine.prepare({"prompt_token_ids": PROMPT}, SamplingParams(max_tokens=None))
        stream = engine.generate_all({"a": prepared, "b": prepared})
        await anext(stream)
        engine.abort("a")
        with pytest.raises(EngineClosedError, match="'a' was aborted"):
            async for _ in stream:
                pass

    on_engine(test, max_model_len=1000)
