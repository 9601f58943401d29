"""A server under load: how soon the first token comes, how evenly the others, and how many a second.

Works on any server that speaks the OpenAI API (`--base-url`); without one, on `quire serve` in a process of its own.
Requests are streamed completions of random token ids. They arrive as a Poisson process of `rate` a second, or, at rate
0, one after the other on `num_streams` connections. Goodput counts the requests that met both limits. Only what was
answered in full is counted; anything else ends the benchmark.
"""

import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import urlsplit

from quire.bench.harness import Case, Measurement
from quire.errors import ConfigError

TOKEN_IDS = range(10, 90)
"""Every vocabulary has them."""
MAX_IN_FLIGHT = 1024
TIMEOUT_S = 600
START_S = 120


@dataclass(frozen=True, slots=True)
class Load:
    model: str
    num_requests: int
    num_streams: int
    rate: float
    input_len: int
    output_len: int
    ttft_slo_ms: float
    tpot_slo_ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """When the request was sent, and when each piece of its text came, in seconds."""

    sent_s: float
    piece_s: list[float]
    num_tokens: int

    @property
    def first_ms(self) -> float:
        return (self.piece_s[0] - self.sent_s) * 1e3

    @property
    def per_token_ms(self) -> float:
        return (self.piece_s[-1] - self.piece_s[0]) * 1e3 / max(self.num_tokens - 1, 1)


def cases(
    *,
    base_url: str = "",
    model: str = "",
    num_requests: int = 64,
    num_streams: int = 32,
    rate: float = 0.0,
    input_len: int = 128,
    output_len: int = 64,
    ttft_slo_ms: float = 1000.0,
    tpot_slo_ms: float = 50.0,
    quick: bool = False,
) -> list[Case]:
    load = Load(model, 4 if quick else num_requests, num_streams, rate, input_len, output_len, ttft_slo_ms, tpot_slo_ms)
    params = {"num_requests": load.num_requests, "input_len": input_len, "output_len": output_len}
    name = f"{rate:g} requests/s" if rate else f"{num_streams} streams"
    stack = ExitStack()
    return [Case(name, _runner(base_url, load, stack), params, close=stack.close)]


def measure(url: str, load: Load, seed: int = 0) -> Measurement:
    """Sends the load to the server at `url` and waits for its end."""
    rng = random.Random(seed)
    prompts = [rng.choices(TOKEN_IDS, k=load.input_len) for _ in range(load.num_requests)]
    start_s = time.perf_counter()
    with ThreadPoolExecutor(MAX_IN_FLIGHT if load.rate else load.num_streams) as pool:
        futures = []
        for prompt in prompts:
            futures.append(pool.submit(ask, url, load, prompt))
            if load.rate:
                time.sleep(rng.expovariate(load.rate))
        answers = [future.result() for future in futures]
    return _summary(answers, load, max(answer.piece_s[-1] for answer in answers) - start_s)


def ask(url: str, load: Load, prompt: list[int]) -> Answer:
    """One streamed completion. Raises ConfigError with the server's words where it is not answered."""
    asked = {"prompt": prompt, "max_tokens": load.output_len, "temperature": 0, "ignore_eos": True}
    named = {"model": load.model} if load.model else {}
    body = json.dumps({**asked, **named, "stream": True, "stream_options": {"include_usage": True}})
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    try:
        sent_s = time.perf_counter()
        connection.request("POST", f"{parts.path}/v1/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise ConfigError(f"{url} answered {response.status}: {response.read(500).decode(errors='replace')}")
        piece_s: list[float] = []
        num_tokens = 0
        for line in response:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                if "error" in event:
                    raise ConfigError(f"{url} ended a stream with {event['error']}")
                if event["choices"]:
                    piece_s.append(time.perf_counter())
                num_tokens = (event.get("usage") or {}).get("completion_tokens", num_tokens)
        if not piece_s:
            raise ConfigError(f"{url} answered a stream without a token.")
        return Answer(sent_s, piece_s, num_tokens or len(piece_s))
    except OSError as error:
        raise ConfigError(f"{url} cannot be asked: {error}") from error
    finally:
        connection.close()


def _summary(answers: list[Answer], load: Load, wall_s: float) -> Measurement:
    num_good = sum(a.first_ms <= load.ttft_slo_ms and a.per_token_ms <= load.tpot_slo_ms for a in answers)
    gaps_ms = [
        (later - earlier) * 1e3
        for answer in answers
        for earlier, later in zip(answer.piece_s, answer.piece_s[1:], strict=False)
    ]
    values = {
        "tokens_per_s": sum(a.num_tokens for a in answers) / wall_s,
        "requests_per_s": len(answers) / wall_s,
        "goodput_per_s": num_good / wall_s,
    }
    samples = {
        "ttft_ms": [a.first_ms for a in answers],
        "tpot_ms": [a.per_token_ms for a in answers],
        "itl_ms": gaps_ms,
        "e2e_ms": [(a.piece_s[-1] - a.sent_s) * 1e3 for a in answers],
    }
    return Measurement(values, {name: found for name, found in samples.items() if found})


def _runner(base_url: str, load: Load, stack: ExitStack) -> Callable[[], Measurement]:
    """The first repetition starts the server where none is given; `stack` ends it."""
    seeds = iter(range(1 << 30))
    urls = [base_url.rstrip("/").removesuffix("/v1")] if base_url else []

    def run() -> Measurement:
        if not urls:
            urls.append(stack.enter_context(own_server(load.model)).url)
        return measure(urls[0], load, next(seeds))  # new prompts every time: cached ones cost nothing

    return run


@dataclass(frozen=True, slots=True)
class OwnServer:
    url: str
    process_id: int


@contextmanager
def own_server(model: str, *flags: str) -> Iterator[OwnServer]:
    """`quire serve` with these flags, when it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "quire.cli", "--log-level", "error", "serve", "--port", str(port)]
    command += ["--served-model-name", model] if model else []
    process = subprocess.Popen([*command, *flags, *([model] if model else [])], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline_s = time.monotonic() + START_S
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise ConfigError(f"quire serve {model} did not get ready; run it by itself to see why.")
            time.sleep(0.1)
        yield OwnServer(url, process.pid)
    finally:
        process.terminate()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except OSError:
        return False
