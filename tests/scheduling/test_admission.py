from threading import Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quire.errors import ConfigError
from quire.scheduling.admission import AdmissionController, AdmissionLimits, Admitted
from quire.scheduling.rates import RateLimit, Refused

WINDOW_S = 8.0
SLICE_S = WINDOW_S / 32


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def controller(**limits):
    clock = Clock()
    return AdmissionController(AdmissionLimits(window_s=WINDOW_S, **limits), clock=clock), clock


class AdmissionAgainstTheLog(RuleBasedStateMachine):
    """The oracle is the log of everything admitted, summed anew at each question; tickets are sets."""

    @initialize(
        per_key=st.builds(RateLimit, st.sampled_from([None, 0.5, 1.0]), st.sampled_from([None, 10.0])),
        in_all=st.builds(RateLimit, st.sampled_from([None, 1.0]), st.sampled_from([None, 20.0])),
        max_queued_requests=st.sampled_from([None, 3, 10]),
        max_queued_tokens=st.sampled_from([None, 60]),
    )
    def begin(self, **limits):
        self.limits = AdmissionLimits(window_s=WINDOW_S, **limits)
        self.clock = Clock()
        self.controller = AdmissionController(self.limits, clock=self.clock)
        self.log, self.queued, self.running = [], [], []

    @rule(steps=st.integers(0, 100))
    def wait(self, steps):
        self.clock.now_s += steps / 16

    @rule(key=st.sampled_from("abc"), prompt=st.integers(0, 30), output=st.integers(0, 20), n=st.integers(1, 3))
    def admit(self, key, prompt, output, n):
        num_tokens = prompt + n * output
        answer = self.controller.admit(key, prompt, output, n=n)
        if isinstance(answer, Admitted):
            assert not self.over(key, n, num_tokens, WINDOW_S)
            self.log.append((self.clock.now_s, key, n, num_tokens))
            self.queued.append(answer)
        else:
            assert answer.kind in self.over(key, n, num_tokens, WINDOW_S + SLICE_S)  # or the meter has let it go by now
            assert answer.kind == "quota" or "quota" not in self.over(key, n, num_tokens, WINDOW_S)
            assert answer.retry_after_s is None or answer.retry_after_s > 0

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def start(self, data):
        admitted = data.draw(st.sampled_from(self.queued))
        self.controller.started(admitted)
        self.queued.remove(admitted)
        self.running.append(admitted)

    @precondition(lambda self: self.queued or self.running)
    @rule(data=st.data(), times=st.integers(1, 2))
    def finish(self, data, times):
        admitted = data.draw(st.sampled_from(self.queued + self.running))
        for _ in range(times):
            self.controller.finished(admitted)
        (self.queued if admitted in self.queued else self.running).remove(admitted)
        self.controller.started(admitted)

    @invariant()
    def agrees(self):
        self.controller.check_invariants()
        assert self.controller.num_queued_requests == sum(admitted.num_requests for admitted in self.queued)
        assert self.controller.num_queued_tokens == sum(admitted.num_tokens for admitted in self.queued)

    def over(self, key, n, num_tokens, window_s):
        """The kinds of the limits that this request would break, if the window were so long."""
        since_s = self.clock.now_s - window_s
        recent = [entry for entry in self.log if entry[0] > since_s]
        kinds = set()
        for kind, limit, log in (
            ("quota", self.limits.per_key, [entry for entry in recent if entry[1] == key]),
            ("capacity", self.limits.in_all, recent),
        ):
            for rate, used in (
                (limit.requests_per_s, n + sum(entry[2] for entry in log)),
                (limit.tokens_per_s, num_tokens + sum(entry[3] for entry in log)),
            ):
                if rate is not None and used > rate * WINDOW_S:
                    kinds.add(kind)
        for cap, used in (
            (self.limits.max_queued_requests, n + sum(admitted.num_requests for admitted in self.queued)),
            (self.limits.max_queued_tokens, num_tokens + sum(admitted.num_tokens for admitted in self.queued)),
        ):
            if cap is not None and used > cap:
                kinds.add("capacity")
        return kinds


TestAdmissionAgainstTheLog = AdmissionAgainstTheLog.TestCase
TestAdmissionAgainstTheLog.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_who_comes_again_when_told_is_admitted():
    admission, clock = controller(per_key=RateLimit(requests_per_s=1.0))
    for _ in range(8):
        assert isinstance(admission.admit("a", 1, 1), Admitted)
        clock.now_s += 0.25
    refused = admission.admit("a", 1, 1)
    assert refused.kind == "quota"
    assert refused.retry_after_s == 8.0 + SLICE_S - 2.0
    assert "your limit is 1 a second" in refused.reason
    clock.now_s += refused.retry_after_s
    assert isinstance(admission.admit("a", 1, 1), Admitted)


def test_one_key_does_not_use_up_the_quota_of_another():
    admission, _ = controller(per_key=RateLimit(requests_per_s=1.0), in_all=RateLimit(requests_per_s=2.0))
    assert isinstance(admission.admit("a", 1, 1, n=8), Admitted)
    assert admission.admit("a", 1, 1).kind == "quota"
    assert isinstance(admission.admit("b", 1, 1, n=8), Admitted)
    assert admission.admit("c", 1, 1).kind == "capacity"


def test_n_counts_n_times():
    admission, _ = controller(per_key=RateLimit(tokens_per_s=100.0))
    assert isinstance(admission.admit("a", 200, 100, n=6), Admitted)
    assert admission.num_queued_requests == 6
    assert admission.num_queued_tokens == 800
    assert isinstance(admission.admit("a", 0, 1), Refused)


def test_what_can_never_fit_says_so():
    admission, _ = controller(per_key=RateLimit(tokens_per_s=1.0), max_queued_requests=4)
    assert admission.admit("a", 9, 0).retry_after_s is None
    assert admission.admit("a", 1, 1, n=5).retry_after_s is None


def serve(admission, clock, *, wait_s, service_s, num_tokens):
    admitted = admission.admit("a", num_tokens, 0)
    clock.now_s += wait_s
    admission.started(admitted)
    clock.now_s += service_s
    admission.finished(admitted)


def test_a_deadline_counts_the_queue_at_its_drain_rate_and_the_service():
    admission, clock = controller()
    serve(admission, clock, wait_s=2.0, service_s=5.0, num_tokens=100)
    assert admission.drain_tokens_per_s == pytest.approx(50.0)
    for _ in range(3):
        assert isinstance(admission.admit("a", 200, 0), Admitted)
    expected_ms = (600 / 50 + 20 * 5 / 100) * 1e3
    assert admission.expected_s(20) * 1e3 == pytest.approx(expected_ms)
    assert isinstance(admission.admit("a", 20, 0, slo_ms=expected_ms + 1), Admitted)
    refused = admission.admit("a", 0, 0, slo_ms=expected_ms - 1_000)
    assert refused.kind == "capacity"
    assert refused.retry_after_s == pytest.approx(620 / 50 - (expected_ms / 1e3 - 1))


def test_by_deadline_only_what_must_be_done_earlier_is_ahead():
    clock = Clock()
    admission = AdmissionController(AdmissionLimits(), is_by_deadline=True, clock=clock)
    serve(admission, clock, wait_s=2.0, service_s=0.0, num_tokens=100)
    for slo_ms, num_tokens in ((None, 1_000), (60_000.0, 500), (5_000.0, 50)):
        assert isinstance(admission.admit("a", num_tokens, 0, slo_ms=slo_ms), Admitted)
    assert admission.expected_s(0, 1_000.0) == 0
    assert admission.expected_s(0, 10_000.0) == pytest.approx(50 / 50)
    assert admission.expected_s(0, 90_000.0) == pytest.approx(550 / 50)
    assert admission.expected_s(0) == pytest.approx(1_550 / 50)


def test_an_empty_house_refuses_nobody_for_a_deadline():
    admission, clock = controller()
    serve(admission, clock, wait_s=0.0, service_s=1_000.0, num_tokens=1)
    admitted = admission.admit("a", 1, 0, slo_ms=1.0)
    assert isinstance(admitted, Admitted)
    assert isinstance(admission.admit("a", 1, 0, slo_ms=1.0), Refused)
    admission.finished(admitted)
    assert isinstance(admission.admit("a", 1, 0, slo_ms=1.0), Admitted)


def test_a_full_queue_says_when_there_will_be_room():
    admission, clock = controller(max_queued_tokens=100)
    assert isinstance(admission.admit("a", 100, 0), Admitted)
    assert admission.admit("a", 50, 0).retry_after_s == 1.0
    clock.now_s += 0.5
    admission.started(Admitted(1, 1, 100))
    assert isinstance(admission.admit("a", 100, 0), Admitted)
    refused = admission.admit("a", 50, 0)
    assert refused.retry_after_s == pytest.approx(50 / 200)
    assert refused.reason == "50 more tokens after 100 in the queue, which holds 100."


def test_keys_are_forgotten():
    admission, clock = controller(per_key=RateLimit(requests_per_s=1.0), max_keys=10)
    for key in range(1_000):
        admission.admit(str(key), 1, 1)
        assert admission.num_keys <= 10
    clock.now_s += WINDOW_S + SLICE_S
    admission.admit("last", 1, 1)
    assert admission.num_keys == 1


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"window_s": 0.0}, "window_s is 0.0"),
        ({"max_queued_tokens": -1}, "max_queued_tokens is -1"),
        ({"per_key": RateLimit(requests_per_s=0.0)}, "per_key.requests_per_s is 0.0"),
        ({"in_all": RateLimit(requests_per_s=0.01)}, "Raise window_s to 100 or more"),
    ],
)
def test_limits_that_cannot_be(limits, message):
    with pytest.raises(ConfigError, match=message):
        AdmissionLimits(**limits)


def test_many_threads_share_one_budget():
    admission, _ = controller(in_all=RateLimit(requests_per_s=50.0))
    answers = []

    def ask(key):
        for _ in range(200):
            answer = admission.admit(key, 1, 1)
            answers.append(answer)
            if isinstance(answer, Admitted):
                admission.started(answer)
                admission.finished(answer)

    threads = [Thread(target=ask, args=(str(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(answer, Admitted) for answer in answers) == 400
    assert admission.num_queued_requests == 0
    admission.check_invariants()


def test_two_queues_share_the_rates_of_a_key() -> None:
    limits = AdmissionLimits(per_key=RateLimit(requests_per_s=0.2), window_s=10.0, max_queued_requests=1)
    rates = limits.rates()
    one, other = (AdmissionController(limits, rates=rates, clock=lambda: 0.0) for _ in range(2))
    assert isinstance(one.admit("a", 1, 1), Admitted)
    assert isinstance(other.admit("a", 1, 1), Admitted)  # its own queue has room
    refused = other.admit("a", 1, 1)
    assert isinstance(refused, Refused)
    assert refused.kind == "quota"
    one.check_invariants()
    other.check_invariants()
