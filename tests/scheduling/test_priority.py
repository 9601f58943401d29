import pytest

from quire.config import SCHEDULING_POLICIES
from quire.errors import ConfigError
from quire.sampling_params import SamplingParams
from quire.scheduling.indexed_heap import IndexedHeap
from quire.scheduling.priority import RESERVED_SHARE, SLACK_WEIGHT, TYPICAL_OUTPUT_TOKENS, make_policy, settle
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
        policy.observe(round(decode_step_s / token_s) - 1, 1, decode_step_s)
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
    assert policy.spare_s(seq) == pytest.approx(10.0 - work_s)
    assert policy.key(seq, 5.0) == pytest.approx(5.0 + SLACK_WEIGHT * (10.0 - work_s))


def test_keys_stay_as_time_passes_until_the_slack_is_used_up():
    policy = measured()
    seq = sequence(0.0, prompt=100, max_tokens=20, slo_ms=10_000)
    key, spare_s = policy.key(seq, 0.0), policy.spare_s(seq)
    assert policy.key(seq, spare_s) == key
    turn_s = policy.key(seq, spare_s + 0.01)
    assert turn_s == pytest.approx(spare_s + 0.01 + 120 * 0.01 / RESERVED_SHARE)
    assert policy.key(seq, spare_s + 9.0) == turn_s


def test_progress_buys_slack_and_waiting_costs_it():
    policy = measured()
    idle, busy = (sequence(0.0, prompt=100, max_tokens=20, slo_ms=10_000) for _ in range(2))
    busy.num_computed_tokens = 100
    busy.token_ids.append(7)
    assert policy.spare_s(busy) - policy.spare_s(idle) == pytest.approx(99 * 0.01 + 0.1)
    assert order(policy, [busy, idle]) == [1, 0]


def test_of_two_with_equal_slack_the_one_that_asked_for_more_patience_goes_last():
    policy = measured()
    patient = sequence(0.0, slo_ms=22_100)
    urgent = sequence(15.0, slo_ms=7_100)
    assert order(policy, [patient, urgent], 15.0) == [1, 0]


def test_decoding_alone_says_nothing_about_what_a_prompt_costs():
    policy = measured(token_s=0.01, decode_step_s=0.1)
    for _ in range(300):
        policy.observe(0, 1, 0.05)
    assert policy.remaining_s(sequence(prompt=100, max_tokens=20)) == pytest.approx(100 * 0.01 + 20 * 0.05)


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
    urgent = sequence(turn_s, prompt=1, max_tokens=1, slo_ms=111)
    assert policy.key(late, turn_s + 0.001) < policy.key(urgent, turn_s)


def test_a_deadline_that_can_be_met_again_counts():
    policy = measured(decode_step_s=1.0)
    policy.key(sequence(0.0, prompt=1_000), 0.0)
    seq = sequence(0.0, slo_ms=10_000)
    assert policy.key(seq, 0.0) > 100.0
    generation = policy.generation
    for _ in range(200):
        policy.observe(9, 1, 0.1)
    assert policy.generation > generation
    assert policy.key(seq, 0.0) == SLACK_WEIGHT * policy.spare_s(seq) < 100.0


def test_a_steady_rate_makes_no_keys_stale():
    policy = measured()
    generation = policy.generation
    for _ in range(100):
        policy.observe(9, 1, 0.104)
    assert policy.generation == generation


def test_settling_brings_the_most_urgent_that_can_be_met_to_the_top_unless_a_turn_has_come():
    policy = measured()
    waiting = IndexedHeap()
    work = [(10, 5, 1_000), (10, 5, 3_000), (400, 5, 6_000), (10, 90, 9_900), (10, 5, None), (10, 5, 60_000)]
    sequences = [sequence(0.0, prompt=p, max_tokens=m, slo_ms=slo_ms) for p, m, slo_ms in work]
    for seq in sequences:
        waiting.push(seq, policy.key(seq, 0.0))
    tops = []
    for now_s in (0.0, 0.5, 2.0, 4.0, 50.0, 70.0):
        settle(waiting, policy, now_s)
        top, key = waiting.peek()
        can_be_met = [seq for seq in sequences if seq.params.slo_ms and policy.spare_s(seq) >= now_s]
        if top in can_be_met:
            assert key == min(policy.key(seq, now_s) for seq in can_be_met)
        else:
            assert key == top.turn_s
            assert all(key <= policy.key(seq, now_s) for seq in can_be_met)
        tops.append(sequences.index(top))
    assert tops == [0, 3, 4, 4, 4, 4]
