"""How soon one request is answered: 128 tokens in and out (a), and the first token of a prompt of 1,024 (b).

The engine's cases a and b, each request's times as samples. `tail` explains the slowest steps by their stages.
"""

from quire.bench.generation.workloads import cases_of
from quire.bench.harness import Case


def cases(
    *,
    model: str = "",
    weights: str = "bf16",
    kv_cache_dtype: str = "auto",
    threads: int = 0,
    tail: bool = False,
    quick: bool = False,
) -> list[Case]:
    return cases_of(
        "ab", model=model, weights=weights, kv_cache_dtype=kv_cache_dtype, threads=threads, tail=tail, quick=quick
    )
