"""Every token of every stream is there, with the times of its making and of its coming."""

import socket
import time
from itertools import pairwise
from typing import cast

import pytest

from quire.bench.serving.paced_engine import PacedEngine
from quire.bench.serving.serve import OwnServer
from quire.bench.serving.streams import Received, stream_all, summary
from quire.engine.async_engine import AsyncEngine
from quire.engine.engine import LLMEngine
from quire.errors import ConfigError
from tests.patience import wait_until
from tests.server.serving import running


def received(*pieces: tuple[int, str]) -> Received:
    """A stream by hand: when each piece came, and what."""
    return Received(socket.socket(), [text.encode() for _, text in pieces], [came_us for came_us, _ in pieces])


def test_every_token_of_a_served_stream_is_timed() -> None:
    before_us = time.monotonic_ns() // 1000
    engine = cast(LLMEngine, PacedEngine(num_streams=4, tokens_per_s=2000))
    with running(lambda: AsyncEngine(engine)) as server:
        wait_until(lambda: server.ask("/ready").status == 200)
        streams = stream_all(OwnServer(server.url, 0), 4, 6)
    after_us = time.monotonic_ns() // 1000
    for stream in streams:
        tokens = [*stream.tokens()]
        assert len(tokens) == 6
        assert [made for made, _ in tokens] == sorted(made for made, _ in tokens)
        assert all(before_us < made <= came < after_us for made, came in tokens)
    steps = [sorted(made for made, _ in tokens) for tokens in zip(*(s.tokens() for s in streams), strict=True)]
    assert all(later[0] > earlier[-1] for earlier, later in pairwise(steps))
    assert steps[-1][0] >= before_us + 5 * 2000
    assert summary(streams, 24, 0.0024).values["server_cpu_us"] == pytest.approx(100)


def test_the_numbers_of_two_streams_by_hand() -> None:
    first = received((2_000, '"content":"1000 "'), (4_500, '"content":"2000 "}"content":"3000 "'))
    second = received(
        (3_000, '"content":"10'), (3_500, '00 "'), (9_000, '"content":"2000 "'), (9_100, '"content":"3000 "')
    )
    assert [*second.tokens()] == [(1000, 3500), (2000, 9000), (3000, 9100)]
    found = summary([first, second], 6, 0.0)
    assert found.samples["added_ms"] == [2.5, 1.5]  # from 3.5 ms, when both were open, to 4.5 ms, when the first ended
    assert found.values == {"tokens_per_s": 2000.0, "writes_per_token": 1.0, "server_cpu_us": 0.0}


def test_a_stream_that_was_cut_off_is_said_with_its_end() -> None:
    with pytest.raises(ConfigError, match=r"3 of 4 tokens came; one stream: .*went wrong"):
        summary(
            [received((1, '"content":"1 ""content":"2 "')), received((1, '"content":"1 "'), (2, "went wrong"))], 4, 0.0
        )
