"""Files of results with numbers that are easy to find again."""

from pathlib import Path

from quire.bench.harness import Param, Result
from quire.bench.results import Report
from quire.bench.structures import growth
from quire.bench.structures.growth import SHAPES

ENVIRONMENT = {
    "cpu": "Abacus 3000",
    "kernels": "portable",
    "physical_cores": 7,
    "memory_gib": 1.5,
    "system": "Plan 9",
    "python": "3.11",
    "hash": "c0ffee",
}


def write_results(folder: Path, *, recall: float = 0.987) -> None:
    """All that the paper needs; a claimed O(f) has costs of exactly 2 f."""
    for report in (_cache(), _heap(), _scheduler(), _hnsw(recall), _growth()):
        (folder / f"{report.title}.json").write_text(report.to_json())


def _report(title: str, *results: Result) -> Report:
    return Report(title, list(results), ENVIRONMENT, "2026-01-02T03:04:05+00:00")


def _cache() -> Report:
    found = []
    for block, saved, spared in ((16, 0.614, 0.5), (256, 0.41, 0.4)):
        params: dict[str, Param] = {"block": block}
        found.append(
            Result("sharing", "quire", params, {"memory_saved_share": [saved], "prefill_saved_share": [spared]})
        )
        found += [
            Result("sequences", side, params, {"sequence_us": [value]})
            for side, value in (("quire", 41.5), ("nano-vllm", 187.0))
        ]
    return _report("cache", *found)


def _heap() -> Report:
    rates = {"quire": 8e6, "heapq": 1e6, "pqdict": 5e5}
    return _report(
        "indexed_heap",
        *(
            Result("entries", side, {}, {f"{op}_per_s": [rate] for op in ("push", "update", "pop")})
            for side, rate in rates.items()
        ),
    )


def _scheduler() -> Report:
    batching = [
        Result(
            "batching", f"wait {wait} ms", {}, {"items_per_s": [rate], "batch_items": [9.0]}, {"added_ms": [added] * 9}
        )
        for wait, rate, added in (("0", 590.0, 51.0), ("50", 594.0, 53.0), ("inf", 600.0, 101.0))
    ]
    return _report(
        "scheduler",
        Result("deadlines", "quire", {}, {"urgent_in_time_share": [0.991]}),
        Result("deadlines", "fcfs", {}, {"urgent_in_time_share": [0.071]}),
        Result("admission", "quire", {}, {"goodput_of_peak_share": [0.973]}),
        Result("admission", "no admission", {}, {"goodput_of_peak_share": [0.123]}),
        *batching,
    )


def _hnsw(recall: float) -> Report:
    return _report("hnsw", Result("search", "quire f32", {"ef": 50}, {"recall": [recall]}, {"call_ms": [0.25] * 9}))


def _growth() -> Report:
    return _report(
        "growth",
        *(
            Result(
                "growth",
                "quire",
                {"structure": op.structure, "operation": op.name, "n": n},
                {"call_us": [2 * SHAPES[op.claim](n)]},
            )
            for op in growth.OPERATIONS
            for n in (1_000, 8_000, 64_000)
        ),
    )
