"""Generation through `LLM`: one stream, a long prompt, many requests at once, a shared prefix, and a cold start.

The cases a to e by which engines are compared (`workloads.py`); `only` names some of them. `latency` runs a and b,
`throughput` c and d, `startup` e, with more to ask of each. `tail` explains the slowest steps by their stages.
"""

from quire.bench.generation.workloads import RUNS, cases_of
from quire.bench.harness import Case
from quire.errors import ConfigError, shown


def cases(
    *,
    model: str = "",
    only: str = "abcde",
    weights: str = "bf16,int8,int4",
    kv_cache_dtype: str = "auto",
    threads: int = 0,
    tail: bool = False,
    quick: bool = False,
) -> list[Case]:
    for letter in only:
        if letter not in RUNS:
            raise ConfigError(f"only is {shown(only)}; allowed: letters of {''.join(RUNS)}.")
    return cases_of(
        only, model=model, weights=weights, kv_cache_dtype=kv_cache_dtype, threads=threads, tail=tail, quick=quick
    )
