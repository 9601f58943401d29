"""A stage that is slow by construction is found; an engine that is no longer recorded is as it was."""

import pytest

from quire.bench.generation import steps
from quire.bench.generation.steps import KIND, StepRecorder
from quire.bench.tail import tail_of
from quire.sampling_params import SamplingParams
from tests.fakes import FakeExecutor, fake_engine

PAUSE_S = 0.02


class Clock:
    """Time that passes only where it is read, and where a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def read(self) -> float:
        self.now_s += 1e-5
        return self.now_s


def run(engine, num_outputs: int = 120) -> None:
    engine.add_request("r", {"prompt_token_ids": [5, 6, 7]}, SamplingParams(max_tokens=num_outputs, ignore_eos=True))
    while engine.has_unfinished:
        engine.step()


@pytest.mark.parametrize(
    ("stage", "owner", "method"),
    [
        ("schedule", lambda engine: engine.scheduler, "schedule"),
        ("prepare", lambda engine: engine._runner._builder, "build"),
        ("forward", lambda engine: engine._runner._executor, "execute"),
        ("sample", lambda engine: engine._runner._sampler, "sample"),
        ("text", lambda engine: engine, "_collect"),
    ],
)
def test_the_stage_that_is_slow_now_and_then_is_the_cause(
    stage: str, owner, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(steps, "perf_counter", clock.read)
    monkeypatch.setattr("time.perf_counter", clock.read)  # of the pauses
    engine, _ = fake_engine(max_model_len=200)
    calls = 0
    usual = getattr(owner(engine), method)

    def slow_now_and_then(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 60:
            clock.now_s += PAUSE_S
        return usual(*args, **kwargs)

    setattr(owner(engine), method, slow_now_and_then)
    with StepRecorder(engine) as recorder:
        run(engine)
        tail = tail_of(KIND, recorder.take())
        assert recorder.take() == []
    assert tail.count == 120
    assert tail.cause.name == stage
    assert tail.cause.slow >= 1e3 * PAUSE_S > tail.cause.median


def test_facts_are_those_of_the_step() -> None:
    engine, _ = fake_engine(max_model_len=200)
    for i in range(3):
        engine.add_request(str(i), {"prompt_token_ids": [5, 6, 7 + i]}, SamplingParams(max_tokens=2, ignore_eos=True))
    with StepRecorder(engine) as recorder:
        while engine.has_unfinished:
            engine.step()
        first, second = recorder.take()
    known = ("sequences", "prompt_tokens", "context_tokens", "preemptions", "recordings")
    assert [first.facts[name] for name in known] == [3, 9, 9, 0, 0]
    assert [second.facts[name] for name in known] == [3, 0, 12, 0, 0]
    assert all(0 < sum(event.stages_ms.values()) <= event.total_ms for event in (first, second))


def test_an_engine_that_is_not_recorded_is_as_it_was() -> None:
    engine, _ = fake_engine(max_model_len=200)
    parts = (engine, engine.scheduler, engine._runner._sampler)
    names = [set(vars(part)) for part in parts]
    with StepRecorder(engine) as recorder:
        run(engine, 2)
    assert [set(vars(part)) for part in parts] == names
    run(engine, 2)
    assert len(recorder.take()) == 2
    assert isinstance(engine._runner._executor, FakeExecutor)
    assert "execute" not in vars(engine._runner._executor)
