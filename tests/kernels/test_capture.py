"""A capture replays the calls that were made, on what lies in memory now, and hands its memory on."""

import subprocess
import sys
import threading

import pytest
import torch
from torch import Tensor

from quire import kernels
from quire.kernels.capture import NotCapturableError, Workspace, capture, empty_result

TABLE = torch.arange(40, dtype=torch.float32).view(10, 4)
WEIGHT = torch.full((4,), 2.0)


def compute(ids: Tensor) -> Tensor:
    return kernels.silu_mul(kernels.rms_norm(kernels.embedding(ids, TABLE), WEIGHT, 1e-6))


def test_replay_computes_with_what_is_in_memory_now() -> None:
    ids = torch.tensor([1, 2, 3])
    with capture(Workspace()) as recording:
        out = compute(ids)
    assert torch.equal(out, compute(ids))
    assert len(recording) == 3
    for new_ids in ([9, 0, 0], [4, 4, 5]):
        ids[:] = torch.tensor(new_ids)
        recording.replay()
        assert torch.equal(out, compute(torch.tensor(new_ids)))


def test_what_fails_in_a_replay_fails_for_its_caller() -> None:
    ids = torch.tensor([1])
    with capture(Workspace()) as recording:
        compute(ids)
    ids[0] = 10
    with pytest.raises(IndexError, match="10 is outside of the vocabulary of 10"):
        recording.replay()


def test_views_are_free_and_other_operations_are_refused() -> None:
    x = torch.ones(2, 8)
    with capture(Workspace()) as recording:
        first, second = kernels.silu_mul(x).view(4, 2).unbind(1)
        assert first[1:].data_ptr() == second.data_ptr() + 4
    assert len(recording) == 1
    for operation in (lambda: x + 1, lambda: x.t().reshape(16), lambda: torch.empty(3), lambda: x.copy_(x)):
        with pytest.raises(NotCapturableError, match="is no kernel and cannot be recorded"), capture(Workspace()):
            operation()
    assert torch.equal(x + 1, torch.full((2, 8), 2.0)), "after a failed capture everything is as before"


def test_a_capture_does_not_load_the_compiler() -> None:
    program = """if True:
        import sys, torch
        from quire import kernels
        from quire.kernels.capture import Workspace, capture
        x = torch.ones(2, 8)
        with capture(Workspace()):
            kernels.silu_mul(x).view(4, 2)
        sys.exit("torch._dynamo" in sys.modules)"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_memory_is_lent_again_once_nobody_holds_it() -> None:
    workspace = Workspace()
    with capture(workspace):
        first = empty_result((3, 5), torch.bfloat16)
        address = first.data_ptr()
        assert address % 64 == 0
        second = empty_result((3, 5), torch.bfloat16)
        view = first.view(15)[1:]
        del first
        third = empty_result((3, 5), torch.bfloat16)
        assert len({address, second.data_ptr(), third.data_ptr()}) == 3, "a view holds it, too"
        del view
        assert empty_result((4, 4), torch.bfloat16).data_ptr() == address
    with capture(workspace):
        assert empty_result((4, 4), torch.bfloat16).data_ptr() == address


def test_other_threads_are_not_recorded() -> None:
    ids = torch.tensor([1])
    with capture(Workspace()) as recording:
        other = threading.Thread(target=lambda: compute(ids) + 1)
        other.start()
        other.join()
        assert len(recording) == 0
        compute(ids)
    compute(ids)
    assert len(recording) == 3
