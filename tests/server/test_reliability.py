"""What a crowd does to a server that it means ill, or does not think of: it lives, and nothing is lost."""

import asyncio
import json
import socket

from quire.server.state import ServedModel
from tests.fakes import fake_engine, greedy
from tests.patience import wait_until
from tests.server.serving import Running, running

PROMPT = list(range(10, 30))
NUM_BLOCKS = 4096
NUM_CLIENTS, NUM_AT_ONCE = 1000, 200


def request(body: dict[str, object]) -> bytes:
    data = json.dumps({"prompt": PROMPT, "stream": True, "return_token_ids": True, **body}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


def is_idle(server: Running) -> bool:
    stats = server.state.engine.stats()
    return (stats.num_running, stats.num_waiting, stats.num_free_blocks) == (0, 0, stats.num_blocks)


def still_serves(server: Running) -> bool:
    body = {"prompt": PROMPT, "max_tokens": 8, "temperature": 0, "return_token_ids": True}
    answer = server.ask("/v1/completions", body).json
    return bool(answer["choices"][0]["token_ids"] == greedy(PROMPT, 8))


async def come_and_leave(port: int, number: int) -> None:
    """In the middle of the stream, before it begins, or in the middle of the request: by turns."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = request({"max_tokens": 10_000})
    writer.write(asked if number % 4 else asked[: len(asked) // 2])
    await writer.drain()
    if number % 4 > 1:
        await reader.readuntil(b"data: ")
    writer.transport.abort()


def test_a_thousand_clients_leave_in_the_middle_and_every_block_is_free() -> None:
    async def crowd(port: int) -> None:
        for start in range(0, NUM_CLIENTS, NUM_AT_ONCE):
            await asyncio.gather(*(come_and_leave(port, start + number) for number in range(NUM_AT_ONCE)))

    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS, max_num_seqs=64)
    with running(engine) as server:
        asyncio.run(crowd(server.port))
        wait_until(lambda: is_idle(server))
        assert still_serves(server)
        assert server.state.admission.num_queued_requests == 0
        server.state.admission.check_invariants()


def test_readers_who_never_read_lose_their_streams_and_keep_nobody_waiting() -> None:
    engine, _ = fake_engine(num_blocks=NUM_BLOCKS, max_model_len=4 * NUM_BLOCKS)
    long_events = ServedModel(("m" * 16_384,))  # so that a few hundred of them are more than the sockets hold
    with running(engine, long_events, write_timeout_s=0.3) as server:
        readers = []
        for _ in range(4):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            reader.connect(("127.0.0.1", server.port))
            reader.sendall(request({"max_tokens": 12_000}))
            readers.append(reader)
        for reader in readers:
            assert reader.recv(1, socket.MSG_PEEK) == b"H"  # its stream has begun, and it took nothing
        assert still_serves(server)
        wait_until(lambda: is_idle(server))
        for reader in readers:
            reader.close()
