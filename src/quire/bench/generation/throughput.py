"""How much is generated at once: 32 requests of mixed lengths (c), and 16 over one prefix, cold then warm (d).

The engine's cases c and d, each request's times as samples; and, for `batch_sizes`, so many requests of 128 tokens in
and 64 out, so that throughput can be held against latency. `tail` explains the slowest steps by their stages.
"""

from quire.bench.generation.workloads import cases_of
from quire.bench.harness import Case


def cases(
    *,
    model: str = "",
    weights: str = "bf16",
    kv_cache_dtype: str = "auto",
    threads: int = 0,
    batch_sizes: tuple[int, ...] = (),
    tail: bool = False,
    quick: bool = False,
) -> list[Case]:
    return cases_of(
        "cd",
        model=model,
        weights=weights,
        kv_cache_dtype=kv_cache_dtype,
        threads=threads,
        batch_sizes=batch_sizes,
        tail=tail,
        quick=quick,
    )
