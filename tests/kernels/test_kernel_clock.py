"""A clock takes the time of its own thread's kernels while it is open, each under its kind, replayed ones too."""

import threading

import torch

from quire import kernels
from quire.kernels.capture import Workspace, capture

WEIGHT = torch.ones(8)
X = torch.ones(2, 8)


def kinds(clock: kernels.KernelClock) -> set[str]:
    """Those on which time was spent."""
    spent = clock.take()
    assert list(spent) == ["linear", "attention", "store", "rows"]
    return {kind for kind, seconds in spent.items() if seconds > 0}


def test_calls_count_under_their_kind_and_once() -> None:
    clock = kernels.KernelClock()
    heads, cache = torch.ones(1, 1, 8), torch.zeros(1, 1, 4, 8)
    clock.begin()
    kernels.rms_norm(X, WEIGHT, 1e-6)
    assert kinds(clock) == {"rows"}
    kernels.linear_int8(X, kernels.quantize_int8(torch.ones(32, 8)))
    assert kinds(clock) == {"linear"}
    kernels.store_kv(heads, heads, cache, cache.clone(), torch.zeros(1, dtype=torch.int64))
    assert kinds(clock) == {"store"}
    kernels.encoder_attention(heads, heads, heads, torch.tensor([0, 1], dtype=torch.int32), 1.0)
    assert kinds(clock) == {"attention"}
    clock.end()
    assert kinds(clock) == set()


def test_replayed_calls_count_and_those_outside_or_of_others_do_not() -> None:
    clock = kernels.KernelClock()
    with capture(Workspace()) as recording:
        kernels.silu_mul(X)
    recording.replay()
    clock.begin()
    other = threading.Thread(target=recording.replay)
    other.start()
    other.join()
    assert kinds(clock) == set()
    recording.replay()
    clock.end()
    recording.replay()
    assert kinds(clock) == {"rows"}
