"""Whatever is added, stepped, aborted, forked and preempted: every token follows from its own context, the invariants
hold after each step, and at the end no block is held."""

import itertools
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quire.engine.outputs import OutputKind, RequestOutput
from quire.sampling_params import SamplingParams
from tests.fakes import allowed_next, fake_engine, greedy

PREFIXES = [[5, 6, 7, 8, 9, 10, 11, 12, 13], [5, 6, 7, 8, 20, 21, 22, 23], []]


class EngineMachine(RuleBasedStateMachine):
    """16 blocks of 4 tokens for up to 6 sequences of up to 40 tokens: preemption is the rule here."""

    @initialize(
        caching=st.booleans(),
        policy=st.sampled_from(["fcfs", "priority", "shortest", "slo"]),
        chunk=st.sampled_from([6, 16, 64]),
    )
    def start(self, caching: bool, policy: str, chunk: int) -> None:
        self.engine, self.executor = fake_engine(
            num_blocks=16,
            max_model_len=40,
            max_num_seqs=6,
            max_num_batched_tokens=chunk,
            enable_prefix_caching=caching,
            scheduling_policy=policy,
            clock=itertools.count(0.0, 0.01).__next__,  # else a slow machine would order requests anew
        )
        self.count = 0
        self.alive: dict[str, tuple[list[int], SamplingParams]] = {}

    @rule(
        prefix=st.sampled_from(PREFIXES),
        own=st.lists(st.integers(3, 96), min_size=1, max_size=12),
        n=st.integers(1, 3),
        max_tokens=st.integers(1, 14),
        seed=st.integers(0, 9),
        priority=st.integers(0, 3),
    )
    def add(self, prefix: list[int], own: list[int], n: int, max_tokens: int, seed: int, priority: int) -> None:
        prompt = prefix + own
        params = SamplingParams(
            n=n, max_tokens=max_tokens, seed=seed, priority=priority, slo_ms=1000.0 if priority == 0 else None
        )
        request_id = f"r{self.count}"
        self.count += 1
        self.engine.add_request(request_id, {"prompt_token_ids": prompt}, params, output_kind=OutputKind.FINAL)
        self.alive[request_id] = (prompt, params)

    @precondition(lambda self: self.alive)
    @rule(times=st.integers(1, 6))
    def step(self, times: int) -> None:
        for _ in range(times):
            for output in self.engine.step():
                assert isinstance(output, RequestOutput)
                self.check(output)
            self.engine.check_invariants()

    @rule(num_blocks=st.integers(10, 16))
    def resize(self, num_blocks: int) -> None:
        self.engine.resize_cache(num_blocks)
        assert self.engine.scheduler.blocks.num_blocks == num_blocks

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.alive)))
        self.engine.abort(request_id)
        del self.alive[request_id]

    def check(self, output: RequestOutput) -> None:
        prompt, params = self.alive.pop(output.request_id)
        assert [c.index for c in output.outputs] == list(range(params.n))
        for completion in output.outputs:
            assert completion.finish_reason == "length"
            assert len(completion.token_ids) == min(params.max_tokens, 40 - len(prompt))
            context = list(prompt)
            for token_id in completion.token_ids:
                assert token_id in allowed_next(context)
                context.append(token_id)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "engine"):
            self.engine.check_invariants()

    def teardown(self) -> None:
        for _ in range(2000):
            if not self.alive:
                break
            for output in self.engine.step():
                assert isinstance(output, RequestOutput)
                self.check(output)
        assert not self.alive, "starved"
        assert not self.engine.has_unfinished
        blocks = self.engine.scheduler.blocks
        assert blocks.num_free_blocks == blocks.num_blocks
        assert self.engine.budget.available == self.engine.budget.limit


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("chunk", [8, 64])
@pytest.mark.parametrize("num_blocks", [12, 200])
def test_batched_greedy_equals_one_by_one(num_blocks: int, chunk: int) -> None:
    engine, _ = fake_engine(num_blocks=num_blocks, max_model_len=48, max_num_batched_tokens=chunk)
    rng = random.Random(3)
    prompts = [[rng.randrange(3, 97) for _ in range(rng.randrange(1, 30))] for _ in range(20)]
    for i, prompt in enumerate(prompts):
        params = SamplingParams(temperature=0, max_tokens=15)
        engine.add_request(str(i), {"prompt_token_ids": prompt}, params, output_kind=OutputKind.FINAL)
    outputs = {}
    while engine.has_unfinished:
        outputs |= {output.request_id: output for output in engine.step()}
    for i, prompt in enumerate(prompts):
        assert outputs[str(i)].outputs[0].token_ids == greedy(prompt, 15)
    assert (engine.stats().num_preemptions > 0) == (num_blocks == 12)
