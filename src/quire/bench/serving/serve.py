"""A server under load: how soon the first token comes, how evenly the others, and how many a second.

Works on any server that speaks the OpenAI API (`--base-url`); without one, on `quire serve` in a process of its own.
Requests are streamed completions of random token ids. They arrive as a Poisson process of `rate` a second, or, at rate
0, one after the other on `num_streams` connections. Goodput counts the requests that met both limits. Only what was
answered in full is counted; anything else ends the benchmark.

With `offline`, the same requests also go through `LLM.generate` in this process, in turns with the server, as many at
once as there are streams: what is missing from its tokens a second is what serving costs.
"""

import itertools
import json
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quire.bench.harness import Case, Measurement
from quire.errors import ConfigError
from quire.sampling_params import SamplingParams

if TYPE_CHECKING:
    from quire.llm import LLM

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
    quantization: str = "",
    offline: bool = False,
    quick: bool = False,
) -> list[Case]:
    load = Load(model, 4 if quick else num_requests, num_streams, rate, input_len, output_len, ttft_slo_ms, tpot_slo_ms)
    params = {"num_requests": load.num_requests, "input_len": input_len, "output_len": output_len}
    name = f"{rate:g} requests/s" if rate else f"{num_streams} streams"
    stack = ExitStack()
    if (base_url and (quantization or offline)) or (rate and offline):
        raise ConfigError(
            "quantization and offline are for a server of our own, and offline for streams without a rate."
        )
    knobs: dict[str, Any] = {"quantization": quantization} if quantization else {}
    knobs |= {"max_num_seqs": num_streams} if offline else {}
    served = Case(name, _runner(base_url, load, knobs, stack), params, close=stack.close)
    alone = _Offline(load, knobs)
    return [served, Case(name, alone.run, params, "offline", close=alone.close)] if offline else [served]


def measure(url: str, load: Load, seed: int = 0) -> Measurement:
    """Sends the load to the server at `url` and waits for its end."""
    rng, prompts = random.Random(seed), prompts_of(load, seed)
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


def prompts_of(load: Load, seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    return [rng.choices(TOKEN_IDS, k=load.input_len) for _ in range(load.num_requests)]


class _Offline:
    """The same requests, turn by turn, without a server."""

    def __init__(self, load: Load, knobs: Mapping[str, Any]) -> None:
        self._load = load
        self._knobs = knobs
        self._seeds = itertools.count()
        self._llm: LLM | None = None

    def run(self) -> Measurement:
        from quire.llm import LLM
        from quire.models.embedded import EMBEDDED_MODEL

        if self._llm is None:
            self._llm = LLM(self._load.model or EMBEDDED_MODEL, show_progress=False, **self._knobs)
        params = SamplingParams(temperature=0, max_tokens=self._load.output_len, ignore_eos=True)
        prompts = prompts_of(self._load, next(self._seeds))
        start_s = time.perf_counter()
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        wall_s = time.perf_counter() - start_s
        return Measurement({"tokens_per_s": sum(len(o.outputs[0].token_ids) for o in outputs) / wall_s})

    def close(self) -> None:
        if self._llm is not None:
            self._llm.close()


def _runner(base_url: str, load: Load, knobs: Mapping[str, Any], stack: ExitStack) -> Callable[[], Measurement]:
    """The first repetition starts the server where none is given; `stack` ends it."""
    seeds = itertools.count()
    flags = [f"--{knob.replace('_', '-')}={value}" for knob, value in knobs.items()]
    urls = [base_url.rstrip("/").removesuffix("/v1")] if base_url else []

    def run() -> Measurement:
        if not urls:
            urls.append(stack.enter_context(own_server(load.model, *flags)).url)
        return measure(urls[0], load, next(seeds))  # new prompts every time: cached ones cost nothing

    return run


@dataclass(frozen=True, slots=True)
class OwnServer:
    url: str
    process_id: int


@contextmanager
def own_server(model: str, *flags: str) -> Iterator[OwnServer]:
    """`quire serve` with these flags, when it is ready."""
    named = ("--served-model-name", model) if model else ()
    command = ("-m", "quire.cli", "--log-level", "error", "serve", *named, *flags, "--port")
    with server_process(*command, after_port=(model,) if model else ()) as server:
        yield server


@contextmanager
def server_process(*command: str, after_port: tuple[str, ...] = ()) -> Iterator[OwnServer]:
    """A server that this Python runs with these arguments, a free port between them, when it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    arguments = [*command, str(port), *after_port]
    process = subprocess.Popen([sys.executable, *arguments], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline_s = time.monotonic() + START_S
        while not _is_ready(url):
            if process.poll() is not None or time.monotonic() > deadline_s:
                told = " ".join(arguments)
                raise ConfigError(f"python {told} did not get ready; run it by itself to see why.")
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
