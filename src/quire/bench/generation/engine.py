"""Generation through `LLM`: one stream, a long prompt, many requests at once, a shared prefix, and a cold start.

    a  one stream: 128 tokens in, 128 out                      b  the first token of a 1,024-token prompt
    c  32 requests at once: 100 to 512 in, 32 to 128 out       d  16 requests that share 1,024 tokens, cold then warm
    e  a fresh process to its first token, and its memory

Greedy, end-of-sequence ignored, random token ids that differ in every repetition, so that nothing is found in the
prefix cache but what case d shares.
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count

from quire.bench.generation.random_model import random_model
from quire.bench.harness import Case, Measurement
from quire.bench.machine.resources import Watch
from quire.errors import ConfigError, shown
from quire.llm import LLM
from quire.sampling_params import SamplingParams

HIGHEST_ID = 10_000
WEIGHTS = ("bf16", "int8", "int4")
MAX_MODEL_LEN = 2048
MAX_NUM_SEQS = 32


def cases(
    *,
    model: str = "",
    only: str = "abcde",
    weights: str = "bf16,int8,int4",
    kv_cache_dtype: str = "auto",
    threads: int = 0,
    quick: bool = False,
) -> list[Case]:
    """`model` is a directory; by default random weights in the shape of Qwen3-0.6B are made once."""
    for letter in only:
        if letter not in _RUNS:
            raise ConfigError(f"only is {shown(only)}; allowed: letters of {''.join(_RUNS)}.")
    path = model or str(random_model())
    made = []
    for kind in weights.split(","):
        if kind not in WEIGHTS:
            raise ConfigError(f"weights has {shown(kind)}; allowed: {', '.join(WEIGHTS)}.")
        engine = _Engine(path, kind, kv_cache_dtype, threads or None, quick)
        made += [Case(letter, _RUNS[letter](engine), {"weights": kind}, close=engine.close) for letter in only]
    return made


class _Engine:
    """One LLM, made when the first case of its weights runs and given back when one of them is done."""

    def __init__(self, path: str, weights: str, kv_cache_dtype: str, threads: int | None, quick: bool) -> None:
        self.knobs = {
            "dtype": "bfloat16",
            "kv_cache_dtype": kv_cache_dtype,
            "quantization": None if weights == "bf16" else weights,
            "max_model_len": MAX_MODEL_LEN,
            "max_num_seqs": MAX_NUM_SEQS,
            "num_threads": threads,
        }
        self.path = path
        self.is_quick = quick
        self.turns: Iterator[int] = count()
        self._llm: LLM | None = None

    def seconds(self, prompts: list[list[int]], num_outputs: list[int]) -> float:
        if self._llm is None:
            self._llm = LLM(self.path, show_progress=False, **self.knobs)
        params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in num_outputs]
        start_s = time.perf_counter()
        self._llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - start_s

    def random(self) -> random.Random:
        """A generator of its own for each repetition."""
        return random.Random(1000 + next(self.turns))

    def close(self) -> None:
        if self._llm is not None:
            self._llm.close()
            self._llm = None


def _tokens(rng: random.Random, num: int) -> list[int]:
    return [rng.randrange(10, HIGHEST_ID) for _ in range(num)]


def _one_stream(engine: _Engine) -> Callable[[], Measurement]:
    num_out = 16 if engine.is_quick else 128

    def run() -> Measurement:
        rng = engine.random()
        first_s = engine.seconds([_tokens(rng, 128)], [1])
        all_s = engine.seconds([_tokens(rng, 128)], [num_out])
        return Measurement({"first_token_s": first_s, "decode_tokens_per_s": (num_out - 1) / (all_s - first_s)})

    return run


def _long_prompt(engine: _Engine) -> Callable[[], Measurement]:
    def run() -> Measurement:
        return Measurement({"prefill_tokens_per_s": 1024 / engine.seconds([_tokens(engine.random(), 1024)], [1])})

    return run


def _many(engine: _Engine) -> Callable[[], Measurement]:
    lengths = random.Random(0)
    num_requests = 4 if engine.is_quick else 32
    shapes = [(lengths.randint(100, 512), lengths.randint(32, 128)) for _ in range(num_requests)]

    def run() -> Measurement:
        rng = engine.random()
        wall_s = engine.seconds([_tokens(rng, num_in) for num_in, _ in shapes], [num_out for _, num_out in shapes])
        num_out = sum(num_out for _, num_out in shapes)
        return Measurement({"wall_s": wall_s, "output_tokens_per_s": num_out / wall_s})

    return run


def _shared_prefix(engine: _Engine) -> Callable[[], Measurement]:
    num_requests = 2 if engine.is_quick else 16

    def run() -> Measurement:
        rng = engine.random()
        prefix = _tokens(rng, 1024)

        def ask() -> float:
            prompts = [prefix + _tokens(rng, 32) for _ in range(num_requests)]
            return engine.seconds(prompts, [32] * num_requests)

        return Measurement({"cold_s": ask(), "warm_s": ask()})

    return run


def _cold_start(engine: _Engine) -> Callable[[], Measurement]:
    """In a process of its own, which prints when its first token came; then 128 tokens for the peak of its memory."""

    def run() -> Measurement:
        start_s = time.time()
        command = [sys.executable, "-m", "quire.bench.generation.engine", engine.path, json.dumps(engine.knobs)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        first_token_s = told["first_token_at_s"] - start_s
        return Measurement({"first_token_s": first_token_s, "peak_rss_gib": told["peak_rss_bytes"] / 2**30})

    return run


def _start_and_tell(path: str, knobs: str) -> None:
    rng = random.Random(0)
    with Watch() as watch, LLM(path, show_progress=False, **json.loads(knobs)) as llm:
        params = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
        llm.generate([_tokens(rng, 128)], params, use_tqdm=False)
        first_token_at_s = time.time()
        llm.generate([_tokens(rng, 128)], SamplingParams(max_tokens=128, ignore_eos=True), use_tqdm=False)
    print(json.dumps({"first_token_at_s": first_token_at_s, "peak_rss_bytes": watch.rss_peak_bytes}))


_RUNS: dict[str, Callable[[_Engine], Callable[[], Measurement]]] = {
    "a": _one_stream,
    "b": _long_prompt,
    "c": _many,
    "d": _shared_prefix,
    "e": _cold_start,
}

if __name__ == "__main__":
    _start_and_tell(*sys.argv[1:3])
