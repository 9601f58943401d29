"""The other ranks of a tensor-parallel group on this host, each a process of its own, and rank 0's hold on them.

Rank 0 starts `python -m quire.engine.worker`, hands it one end of a socket pair and a msgpack description of its part,
and then sends every step's `ModelInput`; all ranks execute it together, meeting in the layers' collectives. A worker
ends when its socket does.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from quire.engine.batch import Int64, ModelInput
from quire.engine.runner import ModelExecutor
from quire.errors import EngineClosedError, QuireError
from quire.memory.device import set_threads
from quire.models import load
from quire.parallel.channel import Receiver, Sender
from quire.parallel.group import TorchGroup

STOP_TIMEOUT_S = 10


class WorkerSpec(msgspec.Struct):
    """All that a worker needs to build its part."""

    model: str
    dtype: str
    quantization: str | None
    cache: str | None
    revision: str | None
    rank: int
    size: int
    rendezvous: str
    num_threads: int


class Begin(msgspec.Struct, tag=True):
    """The shape of the KV cache, known once every rank has loaded its weights."""

    kv_shape: tuple[int, ...]
    kv_dtype: str


class Array(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Step(msgspec.Struct, tag=True):
    arrays: dict[str, Array]


class Resize(msgspec.Struct, tag=True):
    moves: Array
    num_blocks: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Begin | Step | Resize).decode


class ParallelExecutor:
    """Rank 0's executor: tells the workers, then does its own part. Where either fails, the ranks do not stand at the
    same collective any more and cannot meet again: EngineClosedError."""

    def __init__(self, local: ModelExecutor, group: TorchGroup, workers: "WorkerGroup") -> None:
        self._local = local
        self._group = group
        self._workers = workers

    def execute(
        self, inputs: ModelInput, on_prompt_logits: Callable[[Tensor], None] | None = None
    ) -> tuple[Tensor, Tensor]:
        with _in_step():
            self._workers.send(Step({name: _pack(getattr(inputs, name)) for name in inputs.__slots__}))
            return self._local.execute(inputs, on_prompt_logits)

    def resize(self, moves: Int64, num_blocks: int) -> None:
        with _in_step():
            self._workers.send(Resize(_pack(moves), num_blocks))
            self._local.resize(moves, num_blocks)

    def close(self) -> None:
        self._workers.close()
        self._group.close()
        self._local.close()


@contextmanager
def _in_step() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise EngineClosedError(f"The tensor-parallel group fell out of step: {error}") from error


class WorkerGroup:
    """The processes of ranks 1 to size-1."""

    def __init__(
        self,
        model: str,
        *,
        dtype: str,
        quantization: str | None,
        cache: str | None,
        revision: str | None,
        size: int,
        num_threads: int,
    ) -> None:
        self._meeting = tempfile.TemporaryDirectory(prefix="quire-")
        self.rendezvous = f"file://{self._meeting.name}/rendezvous"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ends: list[socket.socket] = []
        self._sender = Sender(self._ends)
        try:
            for rank in range(1, size):
                spec = WorkerSpec(model, dtype, quantization, cache, revision, rank, size, self.rendezvous, num_threads)
                self._start(spec)
        except BaseException:
            for process in self._processes:  # which would wait at the rendezvous for the rank that does not come
                process.kill()
            self.close()
            raise

    def _start(self, spec: WorkerSpec) -> None:
        ours, theirs = socket.socketpair()
        self._ends.append(ours)
        with theirs:
            command = [sys.executable, "-m", "quire.engine.worker", str(theirs.fileno())]
            self._processes.append(subprocess.Popen(command, pass_fds=[theirs.fileno()]))
        Sender([ours]).send(_encode(spec))

    def send(self, message: Begin | Step | Resize) -> None:
        self._sender.send(_encode(message))

    def close(self) -> None:
        self._sender.close()
        for process in self._processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._meeting.cleanup()


def _pack(array: np.ndarray) -> Array:
    return Array(array.dtype.str, array.shape, np.ascontiguousarray(array).tobytes())


def _unpack(array: Array) -> np.ndarray:
    # A bytearray, because torch wants memory that may be written to.
    return np.frombuffer(bytearray(array.data), dtype=array.dtype).reshape(array.shape)


def serve(receiver: Receiver) -> None:
    """A worker's life."""
    head = receiver.receive()
    if head is None:
        raise EngineClosedError("Rank 0 ended before it said what to load.")
    spec = msgspec.msgpack.decode(head, type=WorkerSpec)
    group = TorchGroup(spec.rank, spec.size, spec.rendezvous)
    set_threads(spec.num_threads)
    loaded = load(
        spec.model,
        dtype=spec.dtype,
        group=group,
        quantization=spec.quantization,
        cache=Path(spec.cache) if spec.cache is not None else None,
        revision=spec.revision,
    )
    executor: ModelExecutor | None = None
    while (frame := receiver.receive()) is not None:
        message = _decode(frame)
        if isinstance(message, Begin):
            kv = torch.empty(message.kv_shape, dtype=getattr(torch, message.kv_dtype))
            executor = ModelExecutor(loaded.model, kv, num_threads=spec.num_threads)
        elif isinstance(message, Resize):
            assert executor is not None
            executor.resize(_unpack(message.moves), message.num_blocks)
        else:
            assert executor is not None
            executor.execute(ModelInput(**{name: _unpack(array) for name, array in message.arrays.items()}))


if __name__ == "__main__":
    try:
        serve(Receiver(socket.socket(fileno=int(sys.argv[1]))))
    except QuireError as error:  # the user's to mend: rank 0 says the same, or says what became of it
        sys.exit(f"worker: {error}")
