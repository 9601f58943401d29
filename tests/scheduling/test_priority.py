import pytest

from quire.config import SCHEDULING_POLICIES
from quire.errors import ConfigError
from quire.sampling_params import SamplingParams
from quire.scheduling.indexed_heap import IndexedHeap
from quire.scheduling.priority import RESERVED_SHARE, SAFETY, TYPICAL_OUTPUT_TOKENS, make_policy, settle
from quire.sequence import Sequence, SequenceStatus


def sequence(arrival_s=0.0, prompt=10, max_tokens=20, *, context=10_000, **params):
    request = SamplingParams(max_tokens=max_tokens, **params)
    limit = context if max_tokens is None else max_tokens
    return Sequence(0, "r", [1] * prompt, request, max_tokens=limit, arrival_s=arrival_s)


def order(policy, sequences, now_s=0.0):
    return [sequences.index(seq) for seq in sorted(sequences, key=lambda seq: policy.key(seq, now_s))]


def measured(token_s=0.01, decode_step_s=0.1):
    """The slo policy on a machine of known speed: a prompt token takes `token_s`, an output token `decode_step_s`."""
    policy = make_policy("slo")
    for _ in range(300):
        policy.observe(0, round(decode_step_s / token_s), decode_step_s)
    return policy


def test_every_name_makes_a_policy_and_no_other():
    for name in SCHEDULING_POLICIES:
        assert make_policy(name).is_dynamic == (name == "slo")
    with pytest.raises(ConfigError, match="Did you mean 'fcfs'"):
        make_policy("fcsf")


def test_fcfs_is_by_arrival():
    assert order(make_policy("fcfs"), [sequence(2.0), sequence(1.0), sequence(3.0, priority=-5)]) == [1, 0, 2]


def test_priority_comes_before_arrival_at_any_clock():
    for begin_s in (0.0, 1.8e9):
        sequences = [
            sequence(begin_s + 0.002, priority=1),
            sequence(begin_s + 0.001, priority=1),
            sequence(begin_s + 9_999.0, priority=0),
            sequence(begin_s, priority=1_000),
            sequence(begin_s + 9_999.0, priority=-(1 << 31)),
        ]
        assert order(make_policy("priority"), sequences) == [4, 2, 1, 0, 3]


def test_shortest_counts_what_is_left_of_prompt_and_output():
    begun = sequence(prompt=100, max_tokens=50)
    begun.num_computed_tokens = 100
    begun.token_ids.append(7)
    policy = make_policy("shortest")
    assert policy.key(sequence(prompt=100, max_tokens=50), 0.0) == 150
    assert policy.key(begun, 0.0) == 1 + 49
    assert policy.key(sequence(prompt=100, max_tokens=50, n=3), 0.0) == 100 + 3 * 50
    assert policy.key(sequence(prompt=100, max_tokens=None), 0.0) == 100 + TYPICAL_OUTPUT_TOKENS
    pooling = Sequence(0, "r", [1] * 30, SamplingParams(), max_tokens=1, arrival_s=0.0, is_pooling=True)
    assert policy.key(pooling, 0.0) == 30


def test_slack_is_the_deadline_less_the_work_at_the_measured_rate():
    policy = measured()
    seq = sequence(5.0, prompt=100, max_tokens=20, slo_ms=10_000)
    work_s = 100 * 0.01 + 20 * 0.1
    assert policy.remaining_s(seq) == pytest.approx(work_s)
    assert policy.key(seq, 5.0) == pytest.approx(15.0 - SAFETY * work_s)


def test_keys_stay_as_time_passes_until_the_latest_start():
    policy = measured()
    seq = sequence(0.0, prompt=100, max_tokens=20, slo_ms=10_000)
    key = policy.key(seq, 0.0)
    assert policy.key(seq, key) == key
    assert policy.key(seq, key + 0.01) > key + 0.01
    assert policy.key(seq, key + 9.0) == policy.key(seq, key + 0.01)


def test_before_anything_is_measured_the_earliest_deadline_is_first():
    sequences = [sequence(0.0, slo_ms=9_000), sequence(1.0, slo_ms=1_000), sequence(2.0, slo_ms=3_000)]
    assert order(make_policy("slo"), sequences, 2.0) == [1, 2, 0]


def test_those_without_a_deadline_share_a_reserved_part_in_the_order_they_ask():
    policy = measured()
    sequences = [sequence(0.0, prompt=80, max_tokens=20) for _ in range(3)]
    cost_s = 100 * 0.01
    turns = [policy.key(seq, 50.0) for seq in sequences]
    assert turns == pytest.approx([50.0 + i * cost_s / RESERVED_SHARE for i in (1, 2, 3)])


def test_turns_are_counted_from_those_still_waiting():
    policy = measured()
    gone = [sequence(0.0) for _ in range(3)]
    for seq in gone:
        policy.key(seq, 0.0)
    for seq in gone:
        seq.status = SequenceStatus.FINISHED
    assert policy.key(sequence(1.0), 1.0) == pytest.approx(1.0 + 30 * 0.01 / RESERVED_SHARE)


def test_a_turn_that_has_come_goes_before_every_deadline_that_can_be_met():
    policy = measured()
    late = sequence(0.0)
    turn_s = policy.key(late, 0.0)
    urgent = sequence(turn_s, prompt=1, max_tokens=1, slo_ms=SAFETY * (0.01 + 0.1) * 1e3 + 1)
    assert policy.key(late, turn_s + 0.001) < policy.key(urgent, turn_s)


def test_a_deadline_that_can_be_met_again_counts():
    policy = measured(decode_step_s=1.0)
    policy.key(sequence(0.0, prompt=1_000), 0.0)
    seq = sequence(0.0, slo_ms=10_000)
    assert policy.key(seq, 0.0) > 100.0
    generation = policy.generation
    for _ in range(200):
        policy.observe(0, 10, 0.1)
    assert policy.generation > generation
    assert 0.0 < policy.key(seq, 0.0) < 10.0


def test_a_steady_rate_makes_no_keys_stale():
    policy = measured()
    generation = policy.generation
    for _ in range(100):
        policy.observe(0, 10, 0.104)
    assert policy.generation == generation


def test_settling_the_top_gives_the_order_of_refreshing_all():
    policy = measured()
    waiting = IndexedHeap()
    sequences = [sequence(0.0, prompt=p, max_tokens=m, slo_ms=s) for p, m, s in
                 [(10, 5, 1_000), (10, 5, 3_000), (400, 5, 6_000), (10, 90, 9_900), (10, 5, None)]]  # fmt: skip
    for seq in sequences:
        waiting.push(seq, policy.key(seq, 0.0))
    for now_s in (0.0, 0.5, 1.0, 2.5, 4.0, 50.0):
        settle(waiting, policy, now_s)
        expected = min(sequences, key=lambda seq: policy.key(seq, now_s))
        assert waiting.peek() == (expected, policy.key(expected, now_s))
