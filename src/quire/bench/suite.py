"""What `quire bench all` runs: sizes and repetitions that together take under 15 minutes on two cores.

Left out is what needs documents or a peer's checkout, and what a user asks last: `bm25`, `kernels` and others are run
by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Run:
    benchmark: str
    repetitions: int = 3
    warmup: int = 1
    arguments: Mapping[str, Any] = field(default_factory=dict)
    traces_memory: bool = False


SUITE = (
    Run("engine", 2, arguments={"weights": "int8"}, traces_memory=True),
    Run("overhead"),
    Run("growth", arguments={"seconds": 0.05}),
    Run("indexed_heap"),
    Run("cache"),
    Run("scheduler", 2),
    Run("count_min", arguments={"num_keys": 200_000}),
    Run("hnsw", arguments={"sizes": (20_000,), "efs": (50,)}),
    Run("slo", 2, warmup=0),
    Run("overload", 1, warmup=0, arguments={"seconds": 30.0}),
)
