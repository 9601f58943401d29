"""Calls from rank 0 to the other ranks of one host: length-prefixed frames over socket pairs that only they hold.

A pair has no name, so two engines on one host can never meet by accident, and when a process dies its peer reads the
end of the stream at once. Carries bytes; what they mean is the caller's business (never pickle).

    frame    [ length: uint64, little endian | payload ]
"""

import socket
import struct

from quire.errors import EngineClosedError

_LENGTH = struct.Struct("<Q")


class Sender:
    """Rank 0's end: one socket per other rank. Thread safety: one thread."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets

    def send(self, payload: bytes) -> None:
        """To every rank. Raises EngineClosedError when one of them is gone."""
        frame = _LENGTH.pack(len(payload)) + payload
        for rank, peer in enumerate(self._sockets, start=1):
            try:
                peer.sendall(frame)
            except OSError as error:
                raise EngineClosedError(f"Rank {rank} of the tensor-parallel group is gone: {error}.") from error

    def close(self) -> None:
        for peer in self._sockets:
            peer.close()


class Receiver:
    """Another rank's end. Thread safety: one thread."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer

    def receive(self) -> bytes | None:
        """The next payload; None when rank 0 is gone."""
        head = self._read(_LENGTH.size)
        return None if head is None else self._read(_LENGTH.unpack(head)[0])

    def _read(self, count: int) -> bytes | None:
        chunks = bytearray(count)
        view, filled = memoryview(chunks), 0
        while filled < count:
            got = self._peer.recv_into(view[filled:])
            if got == 0:
                return None
            filled += got
        return bytes(chunks)
