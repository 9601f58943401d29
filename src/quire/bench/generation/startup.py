"""How soon a fresh process answers: loaded, its first token, and the peak of its memory (e).

The engine's case e. The time begins before Python does; `peak_anon_gib` leaves out what files are mapped.
"""

from quire.bench.generation.workloads import cases_of
from quire.bench.harness import Case


def cases(
    *, model: str = "", weights: str = "bf16", kv_cache_dtype: str = "auto", threads: int = 0, quick: bool = False
) -> list[Case]:
    return cases_of("e", model=model, weights=weights, kv_cache_dtype=kv_cache_dtype, threads=threads, quick=quick)
