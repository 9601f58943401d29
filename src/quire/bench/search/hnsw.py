"""Vector search: queries a second at measured recall@10, and build time, beside hnswlib, faiss and usearch.

Cases: search (one query at a time, one thread), batch (all queries, all threads), filter (a tenth or a hundredth of the
ids pass), load (of a saved index), and, where asked for, build, and change: a fifth of the vectors is taken out and put
back, and recall_lost is how much less is found then than before, recall_lost_compacted after what was taken out was
freed too. Every side gets the same vectors and M, and ef_construction 200; each of `sizes`, `M` and `efs` is measured
with each of the others.

`data` (or QUIRE_DATA) is a folder with minilm_100k_f16.npy and minilm_queries_f16.npy, [n, dim] of any float type; or a
dataset, PATH or PATH:format, of whose texts and questions the default model makes vectors first, which takes longer
than all else. Without one, clustered random vectors take their place; they are easier than text, so compare sides only.
Recall is tie-aware: a hit counts if it is as near as the tenth nearest.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from quire.bench.harness import Case, Measurement, Param
from quire.bench.results import Report
from quire.bench.search.asked import given_place, sizes_within
from quire.bench.search.vector_sides import ChangingSide, FaissFlat, SavedSide, Side, all_sides
from quire.bench.search.vectors import Data, Flags

LEVELS = (0.95, 0.98, 0.99)
SHARES = (0.01, 0.1)
CHANGED = 0.2
ROWS = (
    ("build, s", "build_s", ".1f"),
    ("load, ms", "load_ms", ".1f"),
    ("read by searches, MB", "ram_mb", ".1f"),
    ("put back, a second", "inserts_per_s", ",.0f"),
    ("recall lost by that, at the widest ef", "recall_lost", ".4f"),
    ("and compacted", "recall_lost_compacted", ".4f"),
)
"""Of the table, with the metric that each shows."""
Sizes: TypeAlias = dict[str, Param]


def cases(
    *,
    data: str = "",
    sizes: tuple[int, ...] = (100_000,),
    M: tuple[int, ...] = (16,),
    efs: tuple[int, ...] = (20, 40, 80),
    num_threads: int = 0,
    with_build: bool = False,
    with_changes: bool = False,
    quick: bool = False,
) -> list[Case]:
    counts = (5_000,) if quick else sizes
    loaded = Data.load(given_place(data), max(counts))
    asked = _Asked(efs, num_threads or os.cpu_count() or 1, with_build, with_changes)
    return [
        case
        for count in sizes_within(counts, len(loaded.vectors))
        for degree in M
        for case in _cases_of(Data(loaded.vectors[:count], loaded.queries), degree, asked)
    ]


class _Asked(NamedTuple):
    efs: tuple[int, ...]
    threads: int
    with_build: bool
    with_changes: bool


def _cases_of(data: Data, degree: int, asked: _Asked) -> list[Case]:
    """Those of one size and M. The last one of each side gives its index back."""
    sides = [side for side in all_sides(data.vectors, degree, asked.threads) if find_spec(side.package)]
    sizes: Sizes = {"vectors": len(data.vectors), "M": degree}
    found: list[Case] = []
    if asked.with_build:
        found += [Case("build", Build(side), {**sizes, "threads": asked.threads}, side.name) for side in sides]
    for ef in asked.efs:
        found += _searching(sides, data, ef, asked.threads, {**sizes, "ef": ef})
    if find_spec(FaissFlat.package):
        flat = FaissFlat(data.vectors, degree, asked.threads)
        share = min(SHARES)
        run = _one_by_one(flat, data, 0, _flags(data, share))
        found.append(Case("filter", run, {**sizes, "ef": 0, "share": share}, flat.name, flat.drop))
    found += [Case("load", partial(_load, side), sizes, side.name) for side in sides]
    if asked.with_changes:
        found += _changing(sides, data, asked, sizes)
    for side in sides:
        last = max(place for place, case in enumerate(found) if case.side == side.name)
        found[last] = replace(found[last], close=side.drop)
    return found


def _searching(sides: Sequence[SavedSide], data: Data, ef: int, threads: int, params: Sizes) -> list[Case]:
    found = [Case("search", _one_by_one(side, data, ef), params, side.name) for side in sides]
    found += [Case("batch", _searches(side, data, ef, threads, num_calls=1), params, side.name) for side in sides]
    for share in SHARES:
        flags = _flags(data, share)
        found += [
            Case("filter", _one_by_one(side, data, ef, flags), {**params, "share": share}, side.name)
            for side in sides
            if side.can_filter
        ]
    return found


def _changing(sides: Sequence[SavedSide], data: Data, asked: _Asked, sizes: Sizes) -> list[Case]:
    changes = [Change(side, data, asked.efs, asked.threads) for side in sides if isinstance(side, ChangingSide)]
    return [
        Case("change", partial(change.at, ef), {**sizes, "ef": ef}, change.side.name)
        for ef in asked.efs
        for change in changes
    ]


def _one_by_one(side: Side, data: Data, ef: int, flags: Flags | None = None) -> Callable[[], Measurement]:
    return _searches(side, data, ef, num_calls=len(data.queries), flags=flags)


def _flags(data: Data, share: float) -> Flags:
    return np.random.default_rng(0).random(len(data.vectors)) < share


def explain(report: Report) -> str:
    """The table for the documentation: queries a second where each side reaches a recall, between the measured efs."""
    curves: dict[tuple[str, Any], dict[str, list[tuple[float, float]]]] = {}
    for result in report.results:
        if "queries_per_s" in result.values:
            of_case = curves.setdefault((result.name, result.params.get("share")), {})
            point = (result.summary("recall").median, result.summary("queries_per_s").median)
            of_case.setdefault(result.side, []).append(point)
    sides = list(dict.fromkeys(side for of_case in curves.values() for side in of_case))
    lines = [f"| queries/s at recall@10 | {' | '.join(sides)} |", f"| --- |{' --- |' * len(sides)}"]
    for (case, share), of_case in curves.items():
        what = case if share is None else f"{case}, {100 * share:g} % pass"
        for level in LEVELS:
            rates = [_rate_at(level, of_case.get(side, [])) for side in sides]
            lines.append(_row(f"{what}, {level}", ["" if rate is None else f"{rate:,.0f}" for rate in rates]))
    for name, metric, form in ROWS:
        of_side = {result.side: result.summary(metric).median for result in report.results if metric in result.values}
        if of_side:
            lines.append(_row(name, [format(of_side[side], form) if side in of_side else "" for side in sides]))
    return "\n".join(lines)


def _row(name: str, cells: list[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _rate_at(level: float, points: list[tuple[float, float]]) -> float | None:
    """Between the two points around it, by the logarithm of the share that is missed; None where it is not reached."""
    recalls, rates = np.array(sorted(points)).reshape(-1, 2).T
    if not len(recalls) or recalls[-1] < level:
        return None
    missed = -np.log10(np.maximum(1 - recalls, 1e-5))
    return float(np.exp(np.interp(-np.log10(1 - level), missed, np.log(rates))))


class Build:
    """Takes its time, so it is done once: further repetitions tell what the first one found."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._found: Measurement | None = None

    def __call__(self) -> Measurement:
        if self._found is None:
            start = perf_counter()
            self._side.rebuild()
            self._found = Measurement({"build_s": perf_counter() - start})
        return self._found


class Change:
    """A part of the vectors is taken out and put back, once: further repetitions tell what the first one found."""

    def __init__(self, side: ChangingSide, data: Data, efs: tuple[int, ...], num_threads: int) -> None:
        self.side, self._data, self._efs, self._num_threads = side, data, efs, num_threads
        self._found: dict[int, Measurement] = {}

    def at(self, ef: int) -> Measurement:
        if not self._found:
            self._found = self._change()
        return self._found[ef]

    def _change(self) -> dict[int, Measurement]:
        count = len(self._data.vectors)
        gone = np.sort(np.random.default_rng(0).permutation(count)[: int(count * CHANGED)])
        before = self._recalls()
        self.side.delete(gone)
        start = perf_counter()
        self.side.insert(gone)
        rate = len(gone) / (perf_counter() - start)
        lost = {"recall_lost": [before, self._recalls()]}
        if self.side.compact():
            lost["recall_lost_compacted"] = [before, self._recalls()]
        return {
            ef: Measurement(
                {"inserts_per_s": rate} | {name: one[ef] - other[ef] for name, (one, other) in lost.items()}
            )
            for ef in self._efs
        }

    def _recalls(self) -> dict[int, float]:
        search = self.side.search
        return {
            ef: self._data.recall(search(self._data.queries, ef, self._num_threads, None), None) for ef in self._efs
        }


def _load(side: SavedSide) -> Measurement:
    """What has just been written, and so lies in the system's memory."""
    with TemporaryDirectory(prefix="quire-bench-") as folder:
        path = Path(folder) / "index"
        side.save(path)
        start = perf_counter()
        loaded = side.load(path)
        values = {"load_ms": 1e3 * (perf_counter() - start), "file_mb": path.stat().st_size / 1e6}
        ram_bytes = side.ram_bytes(loaded)
        return Measurement(values if ram_bytes is None else values | {"ram_mb": ram_bytes / 1e6})


def _searches(
    side: Side, data: Data, ef: int, num_threads: int = 1, *, num_calls: int, flags: Flags | None = None
) -> Callable[[], Measurement]:
    def measure() -> Measurement:
        assert side.index is not None
        parts, found, ended_s = np.array_split(data.queries, num_calls), [], [perf_counter()]
        for part in parts:
            found.append(side.search(part, ef, num_threads, flags))
            ended_s.append(perf_counter())
        recall = data.recall(np.vstack(found), flags)
        values = {"queries_per_s": len(data.queries) / (ended_s[-1] - ended_s[0]), "recall": recall}
        return Measurement(values, {"call_ms": (np.diff(ended_s) * 1e3).tolist()})

    return measure
