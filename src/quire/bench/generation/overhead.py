"""The engine's own work per sequence and step, around a model that costs nothing.

Every running sequence decodes one token a step: schedule, block table, arrays, sampler, stop checks and outputs are
real; the forward pass hands back the same random logits each time. `tail` explains the slowest steps by their stages;
what recording these costs is the difference.
"""

import cProfile
import io
import pstats
import random
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from quire.bench.generation.steps import KIND, StepRecorder
from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.config import EngineConfig
from quire.engine.assembly import KVPlan, connect
from quire.engine.batch import Int64, ModelInput
from quire.engine.engine import LLMEngine
from quire.engine.outputs import OutputKind
from quire.models.embedded import EMBEDDED_MODEL
from quire.models.tokenizer import Tokenizer
from quire.sampling_params import SamplingParams

BLOCK_SIZE = 16
PROMPT_TOKENS = 100
PROFILED_STEPS = 40
NUM_LOGITS = 1024
"""A small vocabulary: finding the largest logit is the model's cost, not the engine's."""


class FreeModel:
    """An executor with no work in it."""

    def __init__(self, num_seqs: int) -> None:
        self._logits = torch.rand(num_seqs, NUM_LOGITS)

    def execute(
        self,
        inputs: ModelInput,
        on_prompt_logits: Callable[[torch.Tensor], None] | None = None,  # noqa: ARG002  nobody asks for them here
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._logits[: len(inputs.sample_rows)], self._logits[:0]

    def resize(self, moves: Int64, num_blocks: int) -> None: ...

    def close(self) -> None: ...


def cases(*, num_seqs: int = 256, steps: int = 200, tail: bool = False, quick: bool = False) -> list[Case]:
    steps = 20 if quick else steps
    kinds = {"bookkeeping": OutputKind.FINAL, "incremental text": OutputKind.DELTA}
    return [
        Case(name, _stepper(num_seqs, steps, kind, is_recorded=tail), {"num_seqs": num_seqs, "steps": steps})
        for name, kind in kinds.items()
    ]


def explain(report: Report) -> str:
    """Where the time goes, by the profiler: its own cost lies on every call, so read shares, not times."""
    params = report.results[0].params
    engine = _running(int(params["num_seqs"]), PROFILED_STEPS, OutputKind.FINAL)
    profile = cProfile.Profile()
    for _ in range(PROFILED_STEPS):
        profile.runcall(engine.step)
    told = io.StringIO()
    pstats.Stats(profile, stream=told).strip_dirs().sort_stats("tottime").print_stats(12)
    lines = [line for line in told.getvalue().splitlines() if line.strip()]
    return "\n".join([f"profile of {PROFILED_STEPS} steps, bookkeeping only", *lines[3:]])


def _stepper(num_seqs: int, steps: int, kind: OutputKind, *, is_recorded: bool) -> Callable[[], Measurement]:
    def run() -> Measurement:
        engine = _running(num_seqs, steps, kind)
        durations_us, events = [], []
        with StepRecorder(engine) if is_recorded else nullcontext() as recorder:
            for _ in range(steps):
                start_s = time.perf_counter()
                engine.step()
                durations_us.append((time.perf_counter() - start_s) * 1e6)
            events = recorder.take() if recorder is not None else []
        values = {"per_sequence_us": sum(durations_us) / steps / num_seqs}
        return Measurement(values, {"step_us": durations_us}, events, KIND)

    return run


def _running(num_seqs: int, steps: int, kind: OutputKind) -> LLMEngine:
    """An engine in which every sequence decodes, for at least so many steps more."""
    engine = _engine(num_seqs, steps)
    rng = random.Random(0)
    params = SamplingParams(temperature=0, max_tokens=2 * steps + 2, ignore_eos=True)
    for i in range(num_seqs):
        prompt = {"prompt_token_ids": [rng.randrange(NUM_LOGITS) for _ in range(PROMPT_TOKENS)]}
        engine.add_request(str(i), prompt, params, output_kind=kind)
    while engine.stats().num_waiting or engine.stats().num_decode_tokens < num_seqs:
        engine.step()
    return engine


def _engine(num_seqs: int, steps: int) -> LLMEngine:
    max_model_len = PROMPT_TOKENS + 2 * steps + 8
    num_blocks = num_seqs * -(-max_model_len // BLOCK_SIZE)
    config = EngineConfig(max_num_seqs=num_seqs, max_num_batched_tokens=max(2048, num_seqs))
    plan = KVPlan((num_blocks, 1, 2, 1, BLOCK_SIZE, 1), torch.float32, max_model_len)
    tokenizer = Tokenizer.from_directory(EMBEDDED_MODEL)
    return connect(
        FreeModel(num_seqs), tokenizer, plan, config, vocab_size=NUM_LOGITS, eos_token_ids=tokenizer.eos_token_ids
    )
