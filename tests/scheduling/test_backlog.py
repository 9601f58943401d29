import math

from hypothesis import given
from hypothesis import strategies as st

from quire.scheduling.backlog import DEADLINE_SLICE_S, Backlog

DEADLINES = st.integers(0, 20).map(lambda k: k * DEADLINE_SLICE_S) | st.just(math.inf)
QUEUED = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50), DEADLINES), max_size=30)


@given(QUEUED, st.randoms(use_true_random=False), DEADLINES)
def test_what_is_ahead_is_what_is_left_with_an_earlier_deadline(queued, rnd, deadline_s):
    by_deadline, by_arrival = Backlog(is_by_deadline=True), Backlog(is_by_deadline=False)
    left = [one for one in queued if rnd.random() < 0.5]
    for backlog in (by_deadline, by_arrival):
        for one in queued:
            backlog.add(*one)
        for one in queued:
            if one not in left:
                backlog.remove(*one, is_drained=True)
        still = [one for one in queued if one in left]
        assert backlog.num_requests == sum(one[0] for one in still)
        assert backlog.num_tokens == sum(one[1] for one in still)
    assert by_deadline.num_tokens_ahead(deadline_s) == sum(one[1] for one in still if one[2] <= deadline_s)
    assert by_arrival.num_tokens_ahead(deadline_s) == by_arrival.num_tokens


def test_only_what_was_served_counts_as_drained():
    backlog = Backlog(is_by_deadline=True)
    assert backlog.drain_s(10) is None
    backlog.add(1, 40, 1.0)
    backlog.add(1, 60, 2.0)
    backlog.advance(4.0)
    backlog.remove(1, 40, 1.0, is_drained=False)
    assert backlog.drain_s(10) is None
    backlog.remove(1, 60, 2.0, is_drained=True)
    assert backlog.drain_tokens_per_s == 60 / 4
    assert backlog.drain_s(30) == 2.0
