"""What a server adds to its engine: how late tokens come over many streams at once, and how many a second.

The server's engine has no model (`paced_engine.py`): it makes `tokens_per_s` tokens a second in all, a token for every
stream each step, and each token says when it was made. Then as many as the server lets it make, which is the most that
the server can send. Every token is an event of its own, and those of a stream that are ready together come in one
write. Server and client share the machine; the client takes the time when bytes come, and reads them when all is over.
Counted is the time in which every stream was open.

    tokens_per_s       that came
    added_ms           from the making of a token to its coming
    writes_per_token   below 1 where tokens came together
    server_cpu_us      of the server's processor time, for each token
"""

import bisect
import json
import re
import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from quire.bench.harness import Case, Measurement
from quire.bench.machine.resources import cpu_seconds
from quire.bench.results import Report
from quire.bench.serving.serve import OwnServer, server_process
from quire.errors import ConfigError

_TOKEN = re.compile(rb'"content":"(\d+) "')
TIMEOUT_S = 60
NAP_S = 0.001
MOST_BYTES = 1 << 20


@dataclass(slots=True)
class Received:
    """One stream: what came, and when."""

    connection: socket.socket
    pieces: list[bytes] = field(default_factory=list)
    came_us: list[int] = field(default_factory=list)

    def read(self) -> bool:
        """Takes what is there; false when that was the end."""
        data = self.connection.recv(MOST_BYTES)
        self.came_us.append(time.monotonic_ns() // 1000)
        self.pieces.append(data)
        return bool(data)

    def tokens(self) -> Iterator[tuple[int, int]]:
        """When each token was made, and when it came."""
        ends, length = [], 0
        for piece in self.pieces:
            length += len(piece)
            ends.append(length)
        for match in _TOKEN.finditer(b"".join(self.pieces)):
            yield int(match[1]), self.came_us[bisect.bisect_left(ends, match.end())]


def cases(
    *, num_streams: int = 256, tokens_per_s: int = 11_000, output_len: int = 400, quick: bool = False
) -> list[Case]:
    output_len = 40 if quick else output_len
    params = {"num_streams": num_streams, "output_len": output_len}
    return [
        Case("paced", partial(_measure, num_streams, output_len, tokens_per_s), {**params, "asked": tokens_per_s}),
        Case("as fast as it goes", partial(_measure, num_streams, output_len, 0), params),
    ]


def explain(report: Report) -> str:
    lines = []
    for result in report.results:
        added = result.percentiles("added_ms")
        lines.append(f"{result.name}: p50 {added['p50']:.1f} ms, p99 {added['p99']:.1f} ms under way.")
    return "\n".join([*lines, "As fast as it goes, tokens wait in the server for their turn; paced, they need not."])


def _measure(num_streams: int, output_len: int, tokens_per_s: int) -> Measurement:
    with server_process(
        "-m", "quire.bench.serving.paced_engine", after_port=(str(num_streams), str(tokens_per_s))
    ) as server:
        before_s = cpu_seconds(server.process_id)
        streams = stream_all(server, num_streams, output_len)
        return summary(streams, num_streams * output_len, cpu_seconds(server.process_id) - before_s)


def stream_all(server: OwnServer, num_streams: int, output_len: int) -> list[Received]:
    """Opens all streams at once, and reads them to the end. Between looks at them it sleeps: to be woken by every write
    would cost server and client more than the token did."""
    address = urlsplit(server.url)
    asked = {"messages": [{"role": "user", "content": "Go on."}], "max_tokens": output_len, "stream": True}
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with selectors.DefaultSelector() as selector:
        streams = [Received(socket.create_connection((address.hostname, address.port))) for _ in range(num_streams)]
        for stream in streams:
            stream.connection.sendall(head.encode() + body)
            selector.register(stream.connection, selectors.EVENT_READ, stream)
        while selector.get_map():
            ready = selector.select(TIMEOUT_S)
            if not ready:
                raise ConfigError(f"Nothing came for {TIMEOUT_S} s of {len(selector.get_map())} streams.")
            for key, _ in ready:
                if not key.data.read():
                    selector.unregister(key.fileobj)
                    key.data.connection.close()
            time.sleep(NAP_S)
    return streams


def summary(streams: list[Received], num_tokens: int, cpu_s: float) -> Measurement:
    """Raises ConfigError where a token did not come."""
    told = [list(stream.tokens()) for stream in streams]
    num_came = sum(map(len, told))
    if num_came != num_tokens:
        cut = next(stream for stream, tokens in zip(streams, told, strict=True) if len(tokens) * len(told) < num_tokens)
        raise ConfigError(f"{num_came} of {num_tokens} tokens came; one stream: {b''.join(cut.pieces)[-300:]!r}")
    opened_us, closed_us = max(tokens[0][1] for tokens in told), min(tokens[-1][1] for tokens in told)
    added_ms = [
        (came_us - made_us) / 1e3 for tokens in told for made_us, came_us in tokens if opened_us < came_us <= closed_us
    ]
    values = {
        "tokens_per_s": len(added_ms) / max(closed_us - opened_us, 1) * 1e6,
        "writes_per_token": sum(len(stream.pieces) for stream in streams) / num_tokens,
        "server_cpu_us": cpu_s / num_tokens * 1e6,
    }
    return Measurement(values, {"added_ms": added_ms})
