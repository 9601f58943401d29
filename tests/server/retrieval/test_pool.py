"""What waits before the threads is bounded, and what is refused is told when to come again."""

import asyncio
import threading

import pytest

from quire.scheduling.admission import AdmissionLimits
from quire.scheduling.rates import RateLimit
from quire.server.auth import ANYONE
from quire.server.errors import ApiError
from quire.server.retrieval.pool import WorkPool
from tests.patience import PATIENCE_S


def pool_of(refusals: list[int], max_queued: int = 9, limits: AdmissionLimits | None = None) -> WorkPool:
    return WorkPool("test", 1, max_queued, (limits or AdmissionLimits()).rates(), refusals.append)


def test_more_than_may_wait_is_refused_and_the_rest_is_done() -> None:
    refusals: list[int] = []
    is_begun, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        is_begun.set()
        assert may_end.wait(PATIENCE_S)
        return "slow"

    async def ask(pool: WorkPool, work: object) -> object:
        with pool.admitted(ANYONE, 1) as ticket:
            return await pool.run(ticket, work)  # type: ignore[arg-type]

    async def scenario() -> list[object]:
        pool = pool_of(refusals, max_queued=2)
        first = asyncio.create_task(ask(pool, slow))
        assert await asyncio.to_thread(is_begun.wait, PATIENCE_S)
        waiting = [asyncio.create_task(ask(pool, lambda n=n: n)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refusal:
            await ask(pool, lambda: "too much")
        assert refusal.value.status == 503
        assert int(refusal.value.headers["Retry-After"]) >= 1
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        last = asyncio.create_task(ask(pool, lambda: "there is room again"))
        await asyncio.sleep(0)
        may_end.set()
        answers = await asyncio.gather(first, waiting[1], last)
        pool.close()
        return answers

    assert asyncio.run(scenario()) == ["slow", 1, "there is room again"]
    assert refusals == [503]


def test_a_key_has_a_limit_of_its_own() -> None:
    refusals: list[int] = []
    pool = pool_of(refusals, limits=AdmissionLimits(per_key=RateLimit(requests_per_s=0.001), window_s=1000))
    with pool.admitted(ANYONE, 0):
        pass
    with pytest.raises(ApiError) as refusal, pool.admitted(ANYONE, 0):
        pass
    assert (refusal.value.status, refusals) == (429, [429])
    assert 1 <= int(refusal.value.headers["Retry-After"]) <= 1100
    pool.close()
