"""A server that is offered many times what it can do: what it still does, whom it refuses, and what that costs.

First the peak: `num_streams` connections, each asking again as soon as it is answered. Then `factor` times as many
requests as were answered at the peak, arriving as a Poisson process for `seconds`. The server is `quire serve` that
runs `num_streams` requests at once, has `max_queued` more in its queue at most, and a KV cache of `kv_mib` MiB, which
the peak fills. Server and clients share the machine.

    goodput_share       requests answered in full a second while they were offered, of the peak
    refused_share       of those offered, and refused with 429 or 503
    refused_says_when   of the refused, those with Retry-After
    lost                requests that got neither
    growth_share        the server's resident memory at the end, above that after the peak
    still_held_tokens   KV tokens that the server holds when all have gone
    ttft_ms             of those let in, at the peak and under overload
"""

import asyncio
import json
import random
import re
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from quire.bench.harness import Case, Measurement
from quire.bench.machine.resources import resident_bytes
from quire.bench.results import Report
from quire.bench.serving.serve import TOKEN_IDS, OwnServer, own_server
from quire.errors import ConfigError

REST_S = 2.0
"""How long the server has to let go of everything."""
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Offer:
    num_streams: int
    seconds: float
    factor: float
    input_len: int
    output_len: int
    max_queued: int
    kv_mib: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Status 0: the connection ended without one, or the answer was cut off."""

    status: int
    first_ms: float = 0.0
    ended_s: float = 0.0
    says_when: bool = False


def cases(
    *,
    model: str = "",
    num_streams: int = 32,
    seconds: float = 60.0,
    factor: float = 10.0,
    input_len: int = 128,
    output_len: int = 256,
    max_queued: int = 32,
    kv_mib: int = 64,
    quick: bool = False,
) -> list[Case]:
    offer = Offer(num_streams, 2.0 if quick else seconds, factor, input_len, output_len, max_queued, kv_mib)
    params = {"factor": factor, "seconds": offer.seconds, "input_len": input_len, "output_len": output_len}
    return [Case("overload", lambda: _measure(model, offer), params)]


def explain(report: Report) -> str:
    (result,) = report.results
    peak, overload = (result.percentiles(f"{when}_ttft_ms") for when in ("peak", "overload"))
    return (
        f"First token, p99: {peak['p99']:.0f} ms at the peak, {overload['p99']:.0f} ms under overload, where a request "
        "waits behind a full queue.\nWhat the server loses to those it refuses is what reading their requests costs."
    )


def _measure(model: str, offer: Offer) -> Measurement:
    flags = {"max-num-seqs": offer.num_streams, "max-queued-requests": offer.max_queued}
    flags["kv-cache-memory"] = offer.kv_mib << 20
    with own_server(model, *(f"--{name}={value}" for name, value in flags.items())) as server:
        return asyncio.run(_overload(server, model, offer))


async def _overload(server: OwnServer, model: str, offer: Offer) -> Measurement:
    ask = _asker(server.url, model, offer)
    at_peak, peak_s = await _closed_loop(ask, offer.num_streams, offer.seconds / 4)
    peak_per_s = _answered(at_peak) / peak_s
    before, start_s = resident_bytes(server.process_id), time.perf_counter()
    offered = await _poisson(ask, peak_per_s * offer.factor, offer.seconds)
    num_in_time = sum(reply.status == 200 and reply.ended_s < start_s + offer.seconds for reply in offered)
    await asyncio.sleep(REST_S)
    refused = [reply for reply in offered if reply.status in (429, 503)]
    values = {
        "peak_per_s": peak_per_s,
        "offered_per_s": len(offered) / offer.seconds,
        "goodput_share": num_in_time / offer.seconds / peak_per_s,
        "refused_share": len(refused) / len(offered),
        "refused_says_when": sum(reply.says_when for reply in refused) / max(len(refused), 1),
        "lost": float(len(offered) - len(refused) - _answered(offered)),
        "growth_share": resident_bytes(server.process_id) / before - 1 if before else 0.0,
        "still_held_tokens": _held_kv_tokens(server.url),
    }
    return Measurement(values, {"peak_ttft_ms": _first_ms(at_peak), "overload_ttft_ms": _first_ms(offered)})


def _answered(replies: list[Reply]) -> int:
    return sum(reply.status == 200 for reply in replies)


def _first_ms(replies: list[Reply]) -> list[float]:
    return [reply.first_ms for reply in replies if reply.status == 200]


async def _closed_loop(
    ask: Callable[[], Awaitable[Reply]], num_streams: int, seconds: float
) -> tuple[list[Reply], float]:
    """What became of the requests of clients that never pause, and in how many seconds: as many as asked for, or until
    somebody was answered."""
    replies: list[Reply] = []

    async def client() -> None:
        while True:
            replies.append(await ask())

    clients = [asyncio.create_task(client()) for _ in range(num_streams)]
    start_s = time.perf_counter()
    while (elapsed_s := time.perf_counter() - start_s) < seconds or not _answered(replies):
        if elapsed_s > PATIENCE_S:
            raise ConfigError(f"The server answered nobody within {PATIENCE_S:.0f} s; ask it by hand to see why.")
        await asyncio.sleep(0.05)
    for task in clients:
        task.cancel()
    await asyncio.gather(*clients, return_exceptions=True)
    return replies, elapsed_s


async def _poisson(ask: Callable[[], Awaitable[Reply]], rate: float, seconds: float) -> list[Reply]:
    """What became of requests that arrived within `seconds`; the last ones are waited for."""
    rng = random.Random(0)
    tasks: list[asyncio.Task[Reply]] = []
    start_s = time.perf_counter()
    due_s = start_s
    while (due_s := due_s + rng.expovariate(rate)) < start_s + seconds:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        tasks.append(asyncio.ensure_future(ask()))
    return list(await asyncio.gather(*tasks))


def _asker(url: str, model: str, offer: Offer) -> Callable[[], Awaitable[Reply]]:
    """One streamed completion of tokens that nobody asked before."""
    rng = random.Random(1)
    address = urlsplit(url)
    asked = {"max_tokens": offer.output_len, "temperature": 0, "ignore_eos": True, "stream": True}
    named = {"model": model} if model else {}

    async def ask() -> Reply:
        body = json.dumps({**asked, **named, "prompt": rng.choices(TOKEN_IDS, k=offer.input_len)}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        sent_s = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            return Reply(0)
        try:
            writer.write(head.encode() + body)
            return await _read(reader, sent_s)
        except (OSError, asyncio.IncompleteReadError):
            return Reply(0)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    return ask


async def _read(reader: asyncio.StreamReader, sent_s: float) -> Reply:
    answer = await reader.readuntil(b"\r\n\r\n")
    status = int(answer.split(b" ", 2)[1])
    if status != 200:
        return Reply(status, says_when=b"\r\nretry-after: " in answer.lower())
    await reader.readuntil(b"data: {")
    first_ms = (time.perf_counter() - sent_s) * 1e3
    rest = await reader.read()
    return Reply(200, first_ms, time.perf_counter()) if b"data: [DONE]" in rest else Reply(0)


def _held_kv_tokens(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as response:
        found = re.search(r'^quire:held_tokens\{kind="kv".*\} (\S+)$', response.read().decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0
