"""The loop around a model whose every token depends on its whole context (see tests/fakes.py)."""

import itertools

import numpy as np
import pytest

from quire.cache.events import BlockEvent, BlocksStored
from quire.config import EngineConfig
from quire.engine.assembly import plan_kv_cache
from quire.engine.engine import LLMEngine
from quire.engine.outputs import EmbeddingOutput, OutputKind, RequestOutput
from quire.errors import CapacityError, ConfigError, InvalidRequestError
from quire.models.config import from_hf
from quire.sampling_params import SamplingParams
from quire.scheduling.priority import LeastSlackFirst
from quire.sequence import Sequence, SequenceStatus
from tests.fakes import VOCAB_SIZE, fake_engine, greedy
from tests.models.tiny import tiny_model

PROMPT = list(range(10, 30))


def drain(engine: LLMEngine) -> dict[str, RequestOutput]:
    """The last output of each request."""
    last = {}
    while engine.has_unfinished:
        last |= {output.request_id: output for output in engine.step()}
        engine.check_invariants()
    return last


def add(engine: LLMEngine, request_id: str, prompt: list[int], kind: OutputKind = OutputKind.FINAL, **fields) -> None:
    params = SamplingParams(**{"temperature": 0, "max_tokens": 8, **fields})
    engine.add_request(request_id, {"prompt_token_ids": prompt}, params, output_kind=kind)


def run(engine: LLMEngine, prompt: list[int], **fields) -> RequestOutput:
    add(engine, "only", prompt, **fields)
    return drain(engine)["only"]


# ── why a sequence ends ────────────────────────────────────────────────────────────────────────────────────────────


def test_length() -> None:
    engine, _ = fake_engine()
    completion = run(engine, PROMPT).outputs[0]
    assert completion.token_ids == greedy(PROMPT, 8)
    assert (completion.finish_reason, completion.stop_reason) == ("length", None)


def test_the_context_ends_what_has_no_limit() -> None:
    engine, _ = fake_engine(max_model_len=64)
    assert run(engine, PROMPT, max_tokens=None).outputs[0].token_ids == greedy(PROMPT, 44)


def test_end_of_sequence_and_ignoring_it() -> None:
    eos = greedy(PROMPT, 8)[3]
    engine, _ = fake_engine(eos=eos)
    completion = run(engine, PROMPT).outputs[0]
    assert completion.token_ids == greedy(PROMPT, 4)
    assert (completion.finish_reason, completion.stop_reason) == ("stop", None)
    assert run(engine, PROMPT, ignore_eos=True).outputs[0].token_ids == greedy(PROMPT, 8)


def test_stop_token_ids() -> None:
    expected = greedy(PROMPT, 8)
    engine, _ = fake_engine()
    completion = run(engine, PROMPT, stop_token_ids=[expected[5]]).outputs[0]
    assert completion.token_ids == expected[: expected.index(expected[5]) + 1]
    assert (completion.finish_reason, completion.stop_reason) == ("stop", expected[5])


def test_min_tokens_puts_the_end_off() -> None:
    eos = greedy(PROMPT, 8)[2]
    engine, _ = fake_engine(eos=eos)
    completion = run(engine, PROMPT, min_tokens=5).outputs[0]
    assert len(completion.token_ids) >= 5
    assert eos not in completion.token_ids[:5]


# ── outputs ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_kinds_of_output() -> None:
    engine, _ = fake_engine()
    kinds = {"cumulative": OutputKind.CUMULATIVE, "delta": OutputKind.DELTA, "final": OutputKind.FINAL}
    for name, kind in kinds.items():
        add(engine, name, PROMPT, kind)
    seen: dict[str, list[list[int]]] = {name: [] for name in kinds}
    while engine.has_unfinished:
        for output in engine.step():
            seen[output.request_id].append(output.outputs[0].token_ids)
    expected = greedy(PROMPT, 8)
    assert seen["cumulative"] == [expected[: i + 1] for i in range(8)]
    assert seen["delta"] == [[token] for token in expected]
    assert seen["final"] == [expected]


def test_n_completions_share_the_prompt() -> None:
    engine, executor = fake_engine()
    output = run(engine, PROMPT, n=4, temperature=1.0, seed=1)
    assert [c.index for c in output.outputs] == [0, 1, 2, 3]
    assert len({tuple(c.token_ids) for c in output.outputs}) == 4
    # The prompt once; then each completion computes all its tokens but the last.
    assert executor.num_tokens == len(PROMPT) + 4 * 7


def test_the_end_of_a_completion_is_told_once_while_the_others_go_on() -> None:
    engine, _ = fake_engine(eos=greedy(PROMPT, 4)[3])
    add(engine, "r", PROMPT, OutputKind.DELTA, n=6, temperature=1.0, seed=1, max_tokens=12)
    ends: list[int] = []
    tokens: dict[int, list[int]] = {index: [] for index in range(6)}
    while engine.has_unfinished:
        for output in engine.step():
            ends += [completion.index for completion in output.outputs if completion.is_finished]
            for completion in output.outputs:
                tokens[completion.index] += completion.token_ids
    assert sorted(ends) == list(range(6))
    whole = run(engine, PROMPT, n=6, temperature=1.0, seed=1, max_tokens=12).outputs
    assert len({len(completion.token_ids) for completion in whole}) > 1, "they should not all end together"
    assert tokens == {completion.index: completion.token_ids for completion in whole}


def test_logprobs_and_prompt_logprobs() -> None:
    engine, _ = fake_engine(max_num_batched_tokens=7, max_num_seqs=4)
    add(engine, "warm", PROMPT)
    drain(engine)
    output = run(engine, PROMPT, logprobs=2, prompt_logprobs=1)
    completion = output.outputs[0]
    assert len(completion.logprobs) == 8
    for token_id, scores in zip(completion.token_ids, completion.logprobs, strict=True):
        assert scores.token_id == token_id
        assert np.exp(scores.logprob) == pytest.approx(
            1 / 4, abs=0.1
        )  # the fake allows 4 tokens, or 3 if two fall together
    assert completion.cumulative_logprob == pytest.approx(sum(s.logprob for s in completion.logprobs))
    assert output.prompt_logprobs[0] is None
    assert [s.token_id for s in output.prompt_logprobs[1:]] == PROMPT[1:]
    assert output.metrics.num_cached_tokens == 0  # every position of the prompt had to be computed


def test_prompt_logprobs_of_a_preempted_prompt_come_once() -> None:
    roomy, _ = fake_engine()
    expected = run(roomy, PROMPT, max_tokens=20, prompt_logprobs=1).prompt_logprobs
    engine, _ = fake_engine(num_blocks=16)  # two sequences grow to ten blocks each
    add(engine, "first", [5, *PROMPT[1:]], max_tokens=20)
    output = run(engine, PROMPT, max_tokens=20, prompt_logprobs=1)
    assert output.metrics.num_preemptions == 1
    assert output.prompt_logprobs == expected


def test_metrics() -> None:
    engine, _ = fake_engine()
    assert run(engine, PROMPT).metrics.num_cached_tokens == 0
    metrics = run(engine, PROMPT).metrics
    assert metrics.num_cached_tokens == 16  # whole blocks of 4, leaving at least a token to compute
    assert metrics.arrival_s <= metrics.first_scheduled_s <= metrics.first_token_s <= metrics.finished_s


def test_embedding_is_the_last_hidden_state_at_unit_length() -> None:
    engine, _ = fake_engine(max_num_batched_tokens=9, max_num_seqs=4)
    engine.add_embedding("e", {"prompt_token_ids": PROMPT})
    add(engine, "g", PROMPT[:6])
    outputs = drain(engine)
    assert isinstance(outputs["e"], EmbeddingOutput)
    hidden = np.array([sum(PROMPT), len(PROMPT)], dtype=np.float32)  # what the fake model pools
    np.testing.assert_allclose(outputs["e"].embedding, hidden / np.linalg.norm(hidden), rtol=1e-6)
    assert outputs["g"].outputs[0].token_ids == greedy(PROMPT[:6], 8)


# ── sharing, budgets, order ────────────────────────────────────────────────────────────────────────────────────────


def test_a_prefix_that_arrives_together_is_computed_once() -> None:
    engine, executor = fake_engine(num_blocks=256, max_num_batched_tokens=16, max_num_seqs=8)
    for i in range(6):
        add(engine, str(i), [*PROMPT, 30 + i], max_tokens=1)
    outputs = drain(engine)
    assert executor.num_tokens == 21 + 5 * 1  # the last block's token is each one's own
    assert [outputs[str(i)].outputs[0].token_ids for i in range(6)] == [greedy([*PROMPT, 30 + i], 1) for i in range(6)]


def test_salted_requests_share_nothing() -> None:
    engine, executor = fake_engine()
    for salt in ("a", "b", "a"):
        prompt = {"prompt_token_ids": PROMPT, "cache_salt": salt}
        engine.add_request(salt, prompt, SamplingParams(temperature=0, max_tokens=1))
        drain(engine)
    assert executor.num_tokens == 20 + 20 + 4


def test_no_step_is_larger_than_the_budget() -> None:
    engine, executor = fake_engine(max_num_batched_tokens=10, max_num_seqs=4)
    for i in range(4):
        add(engine, str(i), [i + 5] * 17)
    before = 0
    while engine.has_unfinished:
        engine.step()
        assert executor.num_tokens - before <= 10
        before = executor.num_tokens


def test_priority_goes_first() -> None:
    engine, _ = fake_engine(scheduling_policy="priority", max_num_seqs=1)
    for request_id, priority in (("late", 5), ("soon", 1), ("now", -3)):
        add(engine, request_id, PROMPT, priority=priority, max_tokens=2)
    done = []
    while engine.has_unfinished:
        done += [output.request_id for output in engine.step()]
    assert done == ["now", "soon", "late"]


def test_a_deadline_goes_before_those_without() -> None:
    now_s = itertools.count(step=0.5)  # half a second from one look at the clock to the next
    engine, _ = fake_engine(scheduling_policy="slo", max_num_seqs=1, clock=lambda: next(now_s))
    add(engine, "teaches the engine how slow it is", PROMPT, max_tokens=10)
    drain(engine)
    for request_id, slo_ms in (("patient", None), ("urgent", 2_500)):
        add(engine, request_id, PROMPT, slo_ms=slo_ms, max_tokens=2)
    done = []
    while engine.has_unfinished:
        done += [output.request_id for output in engine.step()]
    assert done == ["urgent", "patient"]


def test_holding_back_for_company() -> None:
    now_s = [100.0]
    engine, executor = fake_engine(max_wait_ms=50, clock=lambda: now_s[0])
    add(engine, "first", PROMPT, max_tokens=1)
    assert engine.step() == []
    assert engine.hold_until_s() == pytest.approx(100.05)
    now_s[0] += 0.03
    add(engine, "second", PROMPT[::-1], max_tokens=1)  # now the waiting tokens fill a batch
    assert engine.hold_until_s() is None
    engine.step()
    assert executor.num_tokens == 32
    drain(engine)
    add(engine, "third", PROMPT, max_tokens=1)
    assert engine.step() == []
    now_s[0] += 0.05
    assert [output.request_id for output in engine.step()] == ["third"]


# ── what goes wrong stays where it is ──────────────────────────────────────────────────────────────────────────────


def test_abort_gives_everything_back() -> None:
    engine, _ = fake_engine()
    add(engine, "a", PROMPT, n=3, max_tokens=20)
    add(engine, "b", PROMPT)
    engine.add_embedding("c", {"prompt_token_ids": PROMPT})
    engine.step()
    engine.abort(["a", "c", "unknown"])
    engine.check_invariants()
    assert drain(engine)["b"].outputs[0].token_ids == greedy(PROMPT, 8)
    assert engine.scheduler.blocks.num_free_blocks == 64


def test_a_failed_step_ends_only_those_in_it() -> None:
    engine, executor = fake_engine(max_num_seqs=2)
    executor.fail_at_step = 3
    for request_id in "abcd":
        add(engine, request_id, PROMPT)
    outputs = drain(engine)
    for request_id in "ab":
        assert outputs[request_id].outputs[0].finish_reason == "error"
        assert "the fake model failed" in outputs[request_id].error
    for request_id in "cd":
        assert outputs[request_id].outputs[0].token_ids == greedy(PROMPT, 8)
        assert outputs[request_id].error is None
    assert engine.scheduler.blocks.num_free_blocks == 64


class Stumbling:
    """An observer of blocks that fails where it sees `token_id` stored, and so does the plan that stores it."""

    def __init__(self, token_id: int) -> None:
        self.token_id = token_id

    def __call__(self, event: BlockEvent) -> None:
        if isinstance(event, BlocksStored) and self.token_id in event.token_ids:
            raise RuntimeError("the observer failed")


def test_a_step_that_cannot_be_planned_ends_what_it_was_planned_for_and_the_rest_waits_on() -> None:
    engine, _ = fake_engine(observer=Stumbling(90), max_num_seqs=3)
    add(engine, "runs", PROMPT, n=2)
    engine.step()
    add(engine, "stumbles", [90] * 20)
    engine.add_embedding("waits too", {"prompt_token_ids": PROMPT})
    add(engine, "waits", PROMPT)
    outputs = drain(engine)
    for request_id in ("runs", "stumbles"):
        assert outputs[request_id].error == "RuntimeError: the observer failed"
    assert outputs["waits"].outputs[0].token_ids == greedy(PROMPT, 8)
    assert outputs["waits too"].error is None
    assert engine.scheduler.blocks.num_free_blocks == 64


def test_forks_of_a_step_that_cannot_be_planned_are_gone_with_it() -> None:
    engine, _ = fake_engine(observer=Stumbling(90))
    add(engine, "forks", PROMPT, n=3)
    add(engine, "stumbles", [90] * 4)
    add(engine, "waits", PROMPT, n=2)
    outputs = drain(engine)
    assert outputs["forks"].error == outputs["stumbles"].error == "RuntimeError: the observer failed"
    assert [c.token_ids for c in outputs["waits"].outputs] == [greedy(PROMPT, 8)] * 2


class Undecided(LeastSlackFirst):
    """A policy that has no key for a sequence that begins with `token_id` once it has waited."""

    def __init__(self, token_id: int) -> None:
        super().__init__()
        self.token_id = token_id

    def key(self, seq: Sequence, now_s: float) -> float:
        if seq.status is SequenceStatus.WAITING and seq.token_ids[0] == self.token_id and now_s > seq.arrival_s:
            raise RuntimeError("no key")
        return super().key(seq, now_s)


def test_a_request_at_which_every_plan_fails_keeps_nobody_from_being_served() -> None:
    engine, _ = fake_engine()
    engine.scheduler.policy = Undecided(7)
    add(engine, "bad", [7] * 20)
    add(engine, "waits", PROMPT)
    outputs = drain(engine)
    assert outputs["bad"].error == "RuntimeError: no key"
    assert outputs["waits"].outputs[0].token_ids == greedy(PROMPT, 8)


@pytest.mark.parametrize("kind", OutputKind)
def test_a_token_that_cannot_be_taken_up_ends_its_request_and_no_other(kind: OutputKind) -> None:
    def fail() -> None:
        raise RuntimeError("the reader failed")

    engine, _ = fake_engine()
    engine.add_request("bad", {"prompt_token_ids": PROMPT}, SamplingParams(n=3), output_kind=kind, on_start=fail)
    add(engine, "good", PROMPT)
    outputs = drain(engine)
    assert [c.finish_reason for c in outputs["bad"].outputs] == ["error"] * 3
    assert outputs["bad"].error == "RuntimeError: the reader failed"
    assert outputs["good"].outputs[0].token_ids == greedy(PROMPT, 8)
    assert engine.scheduler.blocks.num_free_blocks == 64


BAD_PROMPTS = [
    ([], "The prompt is empty"),
    ([5, VOCAB_SIZE], "prompt_token_ids has 97; allowed: 0 to 96"),
    ([-1], "prompt_token_ids has -1"),
    ([1.5], "prompt_token_ids has 1.5; allowed: whole numbers"),
    (["a"], "prompt_token_ids has 'a'"),
    (
        [7] * 64,
        "This model's maximum context length is 64 tokens, and the prompt is too long: 64 tokens; allowed: at most 63. "
        "Shorten it.",
    ),
    ("text", "This engine has no tokenizer"),
    (5, "prompt is 5; allowed: text or a list of token ids"),
    ({"prompt_tokens": [5]}, "A prompt has no field 'prompt_tokens'. Did you mean 'prompt_token_ids'?"),
    ({}, "A prompt needs `prompt` or `prompt_token_ids`"),
    ({"prompt_token_ids": [5], "cache_salt": 3}, "cache_salt is 3; allowed: a string"),
]


@pytest.mark.parametrize(("prompt", "message"), BAD_PROMPTS, ids=lambda x: str(x)[:20])
def test_a_bad_prompt_is_refused_and_the_others_go_on(prompt: object, message: str) -> None:
    engine, _ = fake_engine()
    add(engine, "good", PROMPT)
    engine.step()
    with pytest.raises(InvalidRequestError) as refused:
        engine.add_request("bad", prompt, SamplingParams())
    assert str(refused.value).startswith(message)
    assert drain(engine)["good"].outputs[0].token_ids == greedy(PROMPT, 8)


def test_bad_params_for_this_engine() -> None:
    engine, _ = fake_engine(max_num_seqs=4)
    with pytest.raises(InvalidRequestError, match="n is 5; allowed: at most 4"):
        add(engine, "a", PROMPT, n=5)
    with pytest.raises(InvalidRequestError, match="stop_token_ids is 97; allowed: token ids from 0 to 96"):
        add(engine, "a", PROMPT, stop_token_ids=[97])
    add(engine, "a", PROMPT)
    with pytest.raises(InvalidRequestError, match="request_id is 'a', which is already running"):
        add(engine, "a", PROMPT)
    assert list(drain(engine)) == ["a"]


def test_a_cache_too_small_for_one_sequence_is_an_error_that_says_what_to_change() -> None:
    model = from_hf(tiny_model("qwen3").config.to_dict() | {"architectures": ["Qwen3ForCausalLM"]})
    with pytest.raises(CapacityError, match=r"holds 0 tokens.*Raise kv_cache_memory .*or lower max_model_len"):
        plan_kv_cache(model, EngineConfig(kv_cache_memory=100), free_bytes=1 << 30)
    block_bytes = 2 * 2 * 2 * 16 * 32 * 4
    with pytest.raises(CapacityError, match=r"one sequence of 160 tokens needs"):
        plan_kv_cache(model, EngineConfig(kv_cache_memory=9 * block_bytes, max_model_len=150), free_bytes=1 << 30)
    plan = plan_kv_cache(model, EngineConfig(kv_cache_memory=9 * block_bytes), free_bytes=1 << 30)
    assert (plan.num_blocks, plan.max_model_len, plan.num_bytes) == (9, 144, 9 * block_bytes)
    assert plan.lengthened_by == "kv_cache_memory"
    assert plan_kv_cache(model, EngineConfig(max_model_len=32), free_bytes=1 << 30).lengthened_by == "max_model_len"
    assert plan_kv_cache(model, EngineConfig(), free_bytes=1 << 30).lengthened_by is None
    with pytest.raises(ConfigError, match="max_model_len is 100000; this model was made for at most 512"):
        plan_kv_cache(model, EngineConfig(max_model_len=100_000), free_bytes=1 << 30)
    int8 = plan_kv_cache(model, EngineConfig(kv_cache_memory=1 << 20, kv_cache_dtype="int8"), free_bytes=1 << 30)
    assert int8.shape[-1] == 32 + 4  # each row of 32 ends with its scale
    with pytest.raises(ConfigError, match="kv_cache_dtype is 'float16'"):
        plan_kv_cache(model, EngineConfig(kv_cache_dtype="float16"), free_bytes=1 << 30)
