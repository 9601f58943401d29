"""What is counted under overload is what the server did, whatever became of a request."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from quire.bench.serving import overload
from quire.bench.serving.overload import Offer, Reply, _asker
from quire.bench.serving.serve import OwnServer
from tests.fakes import fake_engine
from tests.server.serving import running

OFFER = Offer(num_streams=2, seconds=0.5, factor=20.0, input_len=20, output_len=8, max_queued=1, kv_mib=1)


def test_the_answered_and_the_refused_are_all_there_are() -> None:
    engine, _ = fake_engine(num_blocks=256, max_num_seqs=2)
    with running(engine, max_queued_requests=1) as server:
        found = asyncio.run(overload._overload(OwnServer(server.url, 0), "tiny", OFFER))
    values = found.values
    assert (values["lost"], values["still_held_tokens"], values["growth_share"]) == (0, 0, 0)
    assert values["refused_says_when"] == 1
    offered = round(values["offered_per_s"] * OFFER.seconds)
    answered = len(found.samples["overload_ttft_ms"])
    assert 0 < answered < offered
    assert values["refused_share"] == pytest.approx(1 - answered / offered)


@contextmanager
def answering(*pieces: bytes) -> Iterator[str]:
    """A server of one connection, that says these and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                for piece in pieces:
                    connection.sendall(piece)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "status", "says_when"),
    [
        ((OK, b'data: {"a": 1}\n\n', b"data: [DONE]\n\n"), 200, False),
        ((OK, b'data: {"a": 1}\n\n'), 0, False),
        ((OK,), 0, False),
        ((), 0, False),
        ((b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\n\r\n{}",), 503, True),
        ((b"HTTP/1.1 429 Too Many Requests\r\n\r\n{}",), 429, False),
    ],
)
def test_only_a_whole_answer_is_one(pieces: tuple[bytes, ...], status: int, says_when: bool) -> None:
    with answering(*pieces) as url:
        reply = asyncio.run(_asker(url, "tiny", OFFER)())
    assert (reply.status, reply.says_when) == (status, says_when)
    assert (reply.first_ms > 0) == (status == 200)


def test_nobody_there_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert asyncio.run(_asker(f"http://127.0.0.1:{port}", "tiny", OFFER)()) == Reply(0)
