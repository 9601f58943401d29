"""The cases that engines are compared by, as `quire bench engine`, `throughput`, `latency` and `startup` run them.

    a  one stream: 128 tokens in, 128 out                      b  the first token of a 1,024-token prompt
    c  32 requests at once: 100 to 512 in, 32 to 128 out       d  16 requests that share 1,024 tokens, cold then warm
    e  a fresh process to its first token, and its memory      batch  so many requests at once, 128 in, 64 out

Greedy, end-of-sequence ignored, random token ids that differ in every repetition, so that nothing is found in the
prefix cache but what case d shares. Lengths, counts and the limits of the engine are those of the drivers of the peers
(benchmarks/peers.py).
"""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from quire.bench.generation.random_model import random_model
from quire.bench.generation.steps import KERNELS, KIND, StepRecorder
from quire.bench.harness import Case, Measurement
from quire.bench.machine.memory import MemoryTrace
from quire.bench.machine.resources import Watch
from quire.engine.outputs import RequestOutput
from quire.errors import ConfigError, shown
from quire.llm import LLM
from quire.sampling_params import SamplingParams

HIGHEST_ID = 10_000
WEIGHTS = ("bf16", "int8", "int4")
MAX_MODEL_LEN = 2048
MAX_NUM_SEQS = 32
BATCH_SHAPE = (128, 64)
GIB = 1 << 30


class Engine:
    """One LLM, made when the first case of its weights runs and given back when one of them is done."""

    def __init__(
        self,
        path: str,
        weights: str,
        kv_cache_dtype: str,
        threads: int | None,
        *,
        max_num_seqs: int = MAX_NUM_SEQS,
        is_quick: bool = False,
        is_recorded: bool = False,
    ) -> None:
        self.knobs = {
            "dtype": "bfloat16",
            "kv_cache_dtype": kv_cache_dtype,
            "quantization": None if weights == "bf16" else weights,
            "max_model_len": MAX_MODEL_LEN,
            "max_num_seqs": max_num_seqs,
            "num_threads": threads,
        }
        self.path = path
        self.is_quick = is_quick
        self.turns: Iterator[int] = count()
        self._is_recorded = is_recorded
        self._llm: LLM | None = None
        self._recorder: StepRecorder | None = None

    def ask(self, prompts: list[list[int]], num_outputs: list[int]) -> tuple[float, list[RequestOutput]]:
        """Seconds until all were answered, and the answers."""
        if self._llm is None:
            self._llm = LLM(self.path, show_progress=False, **self.knobs)
            if self._is_recorded:
                self._recorder = StepRecorder(self._llm._live).__enter__()
        params = [SamplingParams(temperature=0, max_tokens=n, ignore_eos=True) for n in num_outputs]
        start_s = time.perf_counter()
        outputs = self._llm.generate(prompts, params, use_tqdm=False)
        return time.perf_counter() - start_s, outputs

    def measurement(self, values: dict[str, float], samples: dict[str, list[float]] | None = None) -> Measurement:
        """With the steps that were recorded since the last one, and how much of those that only decode the model's
        kernels are."""
        events = self._recorder.take() if self._recorder is not None else []
        decodes = [event for event in events if not event.facts["prompt_tokens"]]
        if decodes:
            kernels_ms = sum(event.stages_ms.get(stage, 0.0) for event in decodes for stage in KERNELS)
            values = values | {"kernels_share": kernels_ms / sum(event.total_ms for event in decodes)}
        return Measurement(values, samples or {}, events, KIND)

    def random(self) -> random.Random:
        """A generator of its own for each repetition."""
        return random.Random(1000 + next(self.turns))

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.__exit__(None, None, None)
        if self._llm is not None:
            self._llm.close()
        self._llm = self._recorder = None


def cases_of(
    letters: str,
    *,
    model: str,
    weights: str,
    kv_cache_dtype: str = "auto",
    threads: int = 0,
    batch_sizes: Sequence[int] = (),
    tail: bool = False,
    quick: bool = False,
) -> list[Case]:
    """`model` is a directory; by default random weights in the shape of Qwen3-0.6B are made once."""
    path = model or str(random_model())
    made = []
    for kind in weights.split(","):
        if kind not in WEIGHTS:
            raise ConfigError(f"weights has {shown(kind)}; allowed: {', '.join(WEIGHTS)}.")
        engine = Engine(
            path,
            kind,
            kv_cache_dtype,
            threads or None,
            max_num_seqs=max(MAX_NUM_SEQS, *batch_sizes, 1),
            is_quick=quick,
            is_recorded=tail,
        )
        made += [Case(letter, RUNS[letter](engine), {"weights": kind}, close=engine.close) for letter in letters]
        made += [
            Case("batch", _batch(engine, size), {"weights": kind, "batch": size}, close=engine.close)
            for size in batch_sizes
        ]
    return made


def latencies_ms(outputs: list[RequestOutput], prefix: str = "") -> dict[str, list[float]]:
    """Of each request: to its first token, from token to token after it, and to its end."""
    found: dict[str, list[float]] = {f"{prefix}{name}_ms": [] for name in ("ttft", "tpot", "e2e")}
    for output in outputs:
        times = output.metrics
        if times is None or times.first_token_s is None or times.finished_s is None:
            continue
        num_later = max(len(output.outputs[0].token_ids) - 1, 1)
        found[f"{prefix}ttft_ms"].append(1e3 * (times.first_token_s - times.arrival_s))
        found[f"{prefix}tpot_ms"].append(1e3 * (times.finished_s - times.first_token_s) / num_later)
        found[f"{prefix}e2e_ms"].append(1e3 * (times.finished_s - times.arrival_s))
    return found


def _tokens(rng: random.Random, num: int) -> list[int]:
    return [rng.randrange(10, HIGHEST_ID) for _ in range(num)]


def _one_stream(engine: Engine) -> Callable[[], Measurement]:
    num_out = 16 if engine.is_quick else 128

    def run() -> Measurement:
        rng = engine.random()
        first_s, _ = engine.ask([_tokens(rng, 128)], [1])
        all_s, outputs = engine.ask([_tokens(rng, 128)], [num_out])
        values = {"first_token_s": first_s, "decode_tokens_per_s": (num_out - 1) / (all_s - first_s)}
        return engine.measurement(values, latencies_ms(outputs))

    return run


def _long_prompt(engine: Engine) -> Callable[[], Measurement]:
    def run() -> Measurement:
        first_s, _ = engine.ask([_tokens(engine.random(), 1024)], [1])
        return engine.measurement({"first_token_s": first_s, "prefill_tokens_per_s": 1024 / first_s})

    return run


def _many(engine: Engine) -> Callable[[], Measurement]:
    lengths = random.Random(0)
    num_requests = 4 if engine.is_quick else 32
    shapes = [(lengths.randint(100, 512), lengths.randint(32, 128)) for _ in range(num_requests)]
    return _at_once(engine, shapes)


def _batch(engine: Engine, size: int) -> Callable[[], Measurement]:
    return _at_once(engine, [(BATCH_SHAPE[0], 4 if engine.is_quick else BATCH_SHAPE[1])] * size)


def _at_once(engine: Engine, shapes: list[tuple[int, int]]) -> Callable[[], Measurement]:
    """Requests of these lengths, in and out, that all come at one time."""

    def run() -> Measurement:
        rng = engine.random()
        prompts = [_tokens(rng, num_in) for num_in, _ in shapes]
        wall_s, outputs = engine.ask(prompts, [num_out for _, num_out in shapes])
        num_out = sum(num_out for _, num_out in shapes)
        values = {"wall_s": wall_s, "output_tokens_per_s": num_out / wall_s}
        return engine.measurement(values, latencies_ms(outputs))

    return run


def _shared_prefix(engine: Engine) -> Callable[[], Measurement]:
    num_requests = 2 if engine.is_quick else 16

    def run() -> Measurement:
        rng = engine.random()
        prefix = _tokens(rng, 1024)

        def ask() -> tuple[float, list[RequestOutput]]:
            prompts = [prefix + _tokens(rng, 32) for _ in range(num_requests)]
            return engine.ask(prompts, [32] * num_requests)

        (cold_s, cold), (warm_s, warm) = ask(), ask()
        samples = latencies_ms(cold, "cold_") | latencies_ms(warm, "warm_")
        return engine.measurement({"cold_s": cold_s, "warm_s": warm_s}, samples)

    return run


def _cold_start(engine: Engine) -> Callable[[], Measurement]:
    """In a process of its own, which says when it was loaded and when its first token came; then 128 tokens for the
    peak of its memory."""

    def run() -> Measurement:
        start_s = time.time()
        command = [sys.executable, "-m", "quire.bench.generation.workloads", engine.path, json.dumps(engine.knobs)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with MemoryTrace(process.pid) as trace:
            out, errors = process.communicate()
        if process.returncode:
            raise ConfigError(f"The process that was to start with {engine.path} failed: {errors.strip()[-500:]}")
        told = json.loads(out.splitlines()[-1])
        return Measurement(
            {
                "first_token_s": told["first_token_at_s"] - start_s,
                "loaded_s": told["loaded_at_s"] - start_s,
                "peak_rss_gib": told["peak_rss_bytes"] / GIB,
                "peak_anon_gib": trace.peak_anonymous_bytes / GIB,
            }
        )

    return run


def _start_and_tell(path: str, knobs: str) -> None:
    rng = random.Random(0)
    with Watch() as watch, LLM(path, show_progress=False, **json.loads(knobs)) as llm:
        loaded_at_s = time.time()
        params = SamplingParams(temperature=0, max_tokens=1, ignore_eos=True)
        llm.generate([_tokens(rng, 128)], params, use_tqdm=False)
        first_token_at_s = time.time()
        llm.generate([_tokens(rng, 128)], SamplingParams(max_tokens=128, ignore_eos=True), use_tqdm=False)
    told = {"loaded_at_s": loaded_at_s, "first_token_at_s": first_token_at_s, "peak_rss_bytes": watch.rss_peak_bytes}
    print(json.dumps(told))


RUNS: dict[str, Callable[[Engine], Callable[[], Measurement]]] = {
    "a": _one_stream,
    "b": _long_prompt,
    "c": _many,
    "d": _shared_prefix,
    "e": _cold_start,
}

if __name__ == "__main__":
    _start_and_tell(*sys.argv[1:3])
