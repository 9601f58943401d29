"""Recording a step's kernel calls, to make them again in one native call without Python.

While a thread captures, every kernel it calls runs and is recorded, and results lie in a `Workspace`, which keeps their
addresses good for replays. Whatever is to differ between replays must be read from tensors that stay where they are.
Torch's own operations cannot be recorded: views are free, anything else raises `NotCapturableError`.

Thread safety: captures of several threads do not see each other; a workspace belongs to one thread at a time.
"""

import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch  # before quire._native, so that both use torch's OpenMP runtime
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from quire import _native

ALIGNMENT = 64


class NotCapturableError(Exception):
    """The step does something that only torch can do."""


class Workspace:
    """Memory for the results of captured calls. A buffer is lent again, to a later call of the same capture or of
    another one, as soon as nobody holds a tensor in it; it is freed with the workspace."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[np.ndarray[Any, Any]]] = defaultdict(list)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        num_bytes = torch.Size(shape).numel() * dtype.itemsize
        size = max(ALIGNMENT, 1 << (num_bytes - 1).bit_length())
        free = self._free[size]
        buffer = free.pop() if free else _aligned(size)
        lease = buffer[:num_bytes]  # the tensor's memory holds on to it
        weakref.finalize(lease, free.append, buffer)
        return torch.from_numpy(lease).view(dtype).view(shape)


def _aligned(size: int) -> "np.ndarray[Any, Any]":
    memory = np.empty(size + ALIGNMENT, np.uint8)
    skipped = -memory.ctypes.data % ALIGNMENT
    return memory[skipped : skipped + size]


@contextmanager
def capture(workspace: Workspace) -> Iterator[_native.Recording]:
    """Records the kernels that run inside; `replay()` of what it gives makes the same calls again, for as long as the
    workspace and every other tensor they work on are there."""
    assert _active.workspace is None, "captures do not nest"
    recording = _native.Recording()
    _active.workspace = workspace
    recording.begin()
    try:
        with _OnlyViews():  # type: ignore[no-untyped-call]
            yield recording
    finally:
        recording.end()
        _active.workspace = None


def empty_result(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Memory for what a kernel is about to compute."""
    workspace = _active.workspace
    return torch.empty(shape, dtype=dtype) if workspace is None else workspace.empty(shape, dtype)


class _Active(threading.local):
    workspace: Workspace | None = None


_active = _Active()


class _OnlyViews(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses every operation of torch whose result has memory of its own."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nobody compiles what is recorded; to keep torch.compile away from it, torch would import all of it first,
        which takes longer than anything else that a process does before its first token."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {})) if func.is_view else None
        first = result[0] if isinstance(result, (list, tuple)) else result
        if first is None or first.untyped_storage().data_ptr() != args[0].untyped_storage().data_ptr():
            raise NotCapturableError(f"{func} is no kernel and cannot be recorded")
        return result
