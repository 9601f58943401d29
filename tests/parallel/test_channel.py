import socket
import threading

import pytest

from quire.errors import EngineClosedError
from quire.parallel.channel import Receiver, Sender


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(256)) * 8192])
def test_what_is_sent_arrives_whole_at_every_rank(payload):
    """The long one is more than a socket holds, and comes in pieces."""
    pairs = [socket.socketpair() for _ in range(2)]
    got = {}
    threads = [
        threading.Thread(target=lambda rank=rank, end=end: got.setdefault(rank, Receiver(end).receive()))
        for rank, (_, end) in enumerate(pairs)
    ]
    for thread in threads:
        thread.start()
    Sender([ours for ours, _ in pairs]).send(payload)
    for thread in threads:
        thread.join()
    assert got == {0: payload, 1: payload}


def test_frames_keep_their_borders():
    ours, theirs = socket.socketpair()
    for payload in (b"ab", b"", b"c"):
        Sender([ours]).send(payload)
    receiver = Receiver(theirs)
    assert [receiver.receive() for _ in range(3)] == [b"ab", b"", b"c"]


@pytest.mark.parametrize("sent", [b"", b"\x05\0\0", b"\x05\0\0\0\0\0\0\0ab"])
def test_the_end_of_rank_0_is_the_end_also_in_the_middle_of_a_frame(sent):
    ours, theirs = socket.socketpair()
    ours.sendall(sent)
    ours.close()
    assert Receiver(theirs).receive() is None


def test_a_rank_that_is_gone_is_named():
    (first, _kept), (second, gone) = socket.socketpair(), socket.socketpair()
    gone.close()
    with pytest.raises(EngineClosedError, match="Rank 2 of the tensor-parallel group is gone"):
        Sender([first, second]).send(b"x")
