"""Memory that a running engine gives back: random churn in its KV cache, then `resize_cache`.

Case resize: the tiny model that Quire carries behind a cache of `kv_mib` MiB, every block of which has been written.
             Sequences fill half of it, three in four are aborted in random order, and the cache shrinks to what the
             rest needs to end.

    returned_share         bytes by which the resident set fell, of the bytes of all free blocks
    unchanged_share        of the sequences left, those whose tokens are the ones of the same churn without a resize
    fragmentation_before   share of the free blocks that lie below one that is held or findable
"""

from collections.abc import Callable
from random import Random
from time import perf_counter

from quire.bench.harness import Case, Measurement
from quire.bench.machine.resources import resident_bytes
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.engine.engine import LLMEngine
from quire.engine.outputs import OutputKind, RequestOutput
from quire.models.embedded import EMBEDDED_MODEL
from quire.sampling_params import SamplingParams

MIB = 1 << 20
BLOCK_SIZE = 16
MAX_PROMPT_TOKENS = 1024
MAX_TOKENS = 48
WORDS = range(256, 4096)
"""Token ids of the embedded model behind its special ones."""


def cases(*, kv_mib: int = 192, quick: bool = False) -> list[Case]:
    kv_mib = min(kv_mib, 16) if quick else kv_mib
    return [Case("resize", _resizing(kv_mib), {"kv_mib": kv_mib})]


def _resizing(kv_mib: int) -> Callable[[], Measurement]:
    def run() -> Measurement:
        engine = _engine(kv_mib)
        try:
            _write_every_block(engine)
            undisturbed = _Churn(engine, "undisturbed")
            undisturbed.finish()
            resized = _Churn(engine, "resized")
            values = _resize(engine, kv_mib)
            resized.finish()
        finally:
            engine.close()
        expected, found = undisturbed.tokens, resized.tokens
        num_unchanged = sum(found.get(number) == tokens for number, tokens in expected.items())
        return Measurement(values | {"unchanged_share": num_unchanged / len(expected)})

    return run


def _engine(kv_mib: int) -> LLMEngine:
    config = EngineConfig(
        kv_cache_memory=kv_mib * MIB,
        block_size=BLOCK_SIZE,
        max_model_len=MAX_PROMPT_TOKENS + MAX_TOKENS,
        max_num_batched_tokens=2048,
        min_free_memory=0,
    )
    return assemble(EMBEDDED_MODEL, config)


def _prompt(rng: Random, num_tokens: int) -> list[int]:
    return rng.choices(WORDS, k=num_tokens)


def _write_every_block(engine: LLMEngine) -> None:
    """Blocks with nothing findable in them are taken first, so prompts as large as the cache write all of them."""
    rng = Random(0)
    params = SamplingParams(max_tokens=1)
    for number in range(-(-engine.stats().num_blocks * BLOCK_SIZE // MAX_PROMPT_TOKENS)):
        engine.add_request(f"first-{number}", {"prompt_token_ids": _prompt(rng, MAX_PROMPT_TOKENS)}, params)
    while engine.has_unfinished:
        engine.step()


def _resize(engine: LLMEngine, kv_mib: int) -> dict[str, float]:
    """Gives up what the running sequences will not need."""
    blocks = engine.scheduler.blocks
    before, resident = blocks.stats().blocks, resident_bytes()
    num_free = before.num_free + before.num_kept
    more_per_sequence = -(-MAX_TOKENS // BLOCK_SIZE)
    num_left = before.num_live + more_per_sequence * engine.stats().num_running
    start = perf_counter()
    engine.resize_cache(max(num_left, -(-(MAX_PROMPT_TOKENS + MAX_TOKENS) // BLOCK_SIZE)))
    elapsed = perf_counter() - start
    returned_mib = (resident - resident_bytes()) / MIB
    return {
        "returned_share": returned_mib / (kv_mib * num_free / before.num_pages),
        "returned_mib": returned_mib,
        "fragmentation_before": before.fragmentation,
        "resize_ms": elapsed * 1e3,
    }


class _Churn:
    """Sequences over half the cache, of which three in four were aborted once all ran. The same for every salt, and
    none finds what another salt left."""

    def __init__(self, engine: LLMEngine, salt: str) -> None:
        self.tokens: dict[int, list[int]] = {}
        """What each that ran to its end was given, by its number."""
        self._engine = engine
        self._salt = salt
        rng = Random(1)
        num_requests = self._add_requests(rng, engine.stats().num_blocks * BLOCK_SIZE // 2)
        while engine.stats().num_waiting:
            self._step()
        for number in rng.sample(range(num_requests), num_requests * 3 // 4):
            engine.abort(f"{salt}-{number}")

    def finish(self) -> None:
        while self._engine.has_unfinished:
            self._step()

    def _add_requests(self, rng: Random, num_tokens: int) -> int:
        params = SamplingParams(temperature=0, max_tokens=MAX_TOKENS, ignore_eos=True)
        number = 0
        while num_tokens > 0:
            prompt = _prompt(rng, rng.randint(MAX_PROMPT_TOKENS // 16, MAX_PROMPT_TOKENS))
            self._engine.add_request(
                f"{self._salt}-{number}",
                {"prompt_token_ids": prompt, "cache_salt": self._salt},
                params,
                output_kind=OutputKind.FINAL,
            )
            number += 1
            num_tokens -= len(prompt)
        return number

    def _step(self) -> None:
        for output in self._engine.step():
            if isinstance(output, RequestOutput):
                number = int(output.request_id.rpartition("-")[2])
                self.tokens[number] = output.outputs[0].token_ids
