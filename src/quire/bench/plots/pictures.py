"""The pictures that a report has the numbers for, from nothing but its results.

    latency      how many events were done within which time         samples in ms, µs or s
    scaling      a metric over the size it was measured at            cases alike but for one number
    tradeoff     throughput against latency, over that number         the same, with a rate and a latency
    recall       queries a second at measured recall                  cases with both
    memory       resident memory over time                            results that were traced (`--memory`)

Knows which metric is a rate and which a time by its unit, the end of its name.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from quire.bench.harness import Param, Result
from quire.bench.plots.curves import Points, draw_curves, make_logarithmic, save
from quire.bench.results import Report
from quire.bench.stats import percentiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIMES = ("_ms", "_us", "_s")
RATE = "_per_s"
TOTALS = ("e2e_ms", "total_ms", "call_ms", "latency_ms", "ttft_ms")
"""What a request took in all, by the names it has here, the best first."""
CORPUS = frozenset({"chunks", "documents", "vectors", "entries", "texts"})
LOADS = frozenset({"batch", "num_seqs", "num_streams"})
"""What grows in a picture of scaling, by the names it has here: what is searched, and what runs at once."""
TRADED = LOADS | {"ef"}
"""What trades throughput for latency."""
LOGARITHMIC_FROM = 20
"""Times the smallest size, or the shortest event."""
MIN_EVENTS = 10
"""Fewer have no distribution."""
_PLAIN = re.compile(r"\W+")
Draw: TypeAlias = Callable[[Report], "Figure | None"]


@dataclass(frozen=True, slots=True)
class Way:
    """To make several pictures of one that has more lines."""

    part_of: Callable[[Result], str]
    max_lines: int


WAYS = (Way(lambda result: result.name, 8), Way(lambda result: result.side, 16))
SHARES = (*(share / 100 for share in range(100)), 0.995, 0.999, 1.0)


def pictures(report: Report) -> dict[str, "Figure"]:
    """By the name of their kind; none where the report has nothing of it. Of many lines, one per case, and of very many
    one per side of a case."""
    return {kind + part: figure for kind, draw in KINDS.items() for part, figure in _parts(draw, report, WAYS)}


def _parts(draw: Draw, report: Report, ways: Sequence[Way]) -> Iterator[tuple[str, "Figure"]]:
    """The picture, or, where it has too many lines, those of the parts that the first of the ways makes of it."""
    figure = draw(report)
    if figure is None:
        return
    if not ways or len(figure.axes[0].get_lines()) <= ways[0].max_lines:
        yield "", figure
        return
    parts: dict[str, list[Result]] = {}
    for result in report.results:
        parts.setdefault(ways[0].part_of(result), []).append(result)
    for name, results in parts.items():
        suffix = f"-{_PLAIN.sub('-', name)}" if len(parts) > 1 else ""
        for part, figure in _parts(draw, replace(report, results=results), ways[1:]):
            yield suffix + part, figure


def save_pictures(report: Report, folder: Path) -> list[Path]:
    """`folder/TITLE-KIND.png` for each of them."""
    paths = []
    for name, figure in pictures(report).items():
        path = folder / f"{report.title}-{name}.png"
        save(path, figure)
        paths.append(path)
    return paths


def _latency(report: Report) -> "Figure | None":
    curves: dict[str, list[tuple[float, float]]] = {}
    metric = _main_samples(report)
    for result in report.results:
        for name, values in result.samples.items() if metric else ():
            if (name == metric or name.endswith(f"_{metric}")) and len(values) >= MIN_EVENTS:
                which = name.removesuffix(metric).strip("_")  # cold_e2e_ms is e2e_ms, cold
                at = percentiles(values, [100 * share for share in SHARES])
                label = ", ".join(filter(None, (_name(result, report), which)))
                curves[label] = list(zip(at.values(), SHARES, strict=True))
    if not curves:
        return None
    figure = draw_curves(
        curves, x=metric, y="share done within", title=f"{report.title}: {metric} of single events", has_markers=False
    )
    shortest, longest = min(points[0] for points in curves.values()), max(points[-1] for points in curves.values())
    if longest[0] > LOGARITHMIC_FROM * shortest[0] > 0:
        make_logarithmic(figure.axes[0].xaxis)
    return figure


def _scaling(report: Report) -> "Figure | None":
    size, series = _series(report, CORPUS | LOADS)
    if not series:
        return None
    metric = _main_metric([result for points in series.values() for _, result in points])
    curves = {
        name: [(x, result.summary(metric).median) for x, result in points if metric in result.values]
        for name, points in series.items()
    }
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if not curves:
        return None
    sizes = [x for points in curves.values() for x, _ in points]
    is_logarithmic = max(sizes) > LOGARITHMIC_FROM * min(sizes) > 0
    return draw_curves(
        curves, x=size, y=metric, title=f"{report.title}: {metric} over {size}", is_logarithmic=is_logarithmic
    )


def _tradeoff(report: Report) -> "Figure | None":
    curves: dict[str, Points] = {}
    latency, rate, metric = "", "", _main_samples(report)
    for name, points in _series(report, TRADED)[1].items():
        pairs = []
        for _, result in points:
            rate = next((m for m in result.values if m.endswith(RATE)), "")
            if rate and result.samples.get(metric):
                latency = metric
                pairs.append((result.percentiles(metric)["p50"], result.summary(rate).median))
        if len(pairs) > 1:
            curves[name] = pairs
    if not curves:
        return None
    return draw_curves(
        curves, x=f"{latency}, median", y=rate or RATE, title=f"{report.title}: throughput against latency"
    )


def _recall(report: Report) -> "Figure | None":
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for result in report.results:
        if {"recall", "queries_per_s"} <= result.values.keys():
            point = result.summary("recall").median, result.summary("queries_per_s").median
            curves[_name(result, report, but={"ef"})].append(point)
    several = {name: sorted(points) for name, points in curves.items() if len(points) > 1}
    if not several:
        return None
    return draw_curves(several, x="recall", y="queries_per_s", title=f"{report.title}: recall and speed")


def _memory(report: Report) -> "Figure | None":
    curves: dict[str, Points] = {
        _name(result, report): [(seconds, resident / 1e6) for seconds, resident in result.memory]
        for result in report.results
        if len(result.memory) > 1
    }
    if not curves:
        return None
    return draw_curves(curves, x="s", y="resident MB", title=f"{report.title}: memory over time", has_markers=False)


KINDS: dict[str, Draw] = {
    "latency": _latency,
    "scaling": _scaling,
    "tradeoff": _tradeoff,
    "recall": _recall,
    "memory": _memory,
}


def _main_samples(report: Report) -> str:
    """What a request took in all, where anything is told of that, under a name of its own or with one before it; else
    the metric of single events that most cases have."""
    names = [name for result in report.results for name in result.samples if name.endswith(TIMES)]
    if not names:
        return ""
    in_all = (total for total in TOTALS if any(name == total or name.endswith(f"_{total}") for name in names))
    return next(in_all, max(dict.fromkeys(names), key=names.count))


def _main_metric(results: list[Result]) -> str:
    """A rate before all else, and of rates the one that most results have."""
    names = [name for result in results for name in result.values]
    return max(dict.fromkeys(names), key=lambda name: (name.endswith(RATE), names.count(name)))


def _series(report: Report, wanted: Set[str]) -> tuple[str, dict[str, list[tuple[float, Result]]]]:
    """Of the numbers that are wanted the one by which cases differ most, and those that are alike but for it, by their
    common name."""
    best: tuple[str, dict[str, list[tuple[float, Result]]]] = ("", {})
    for size in dict.fromkeys(name for result in report.results for name in _numbers(result)):
        if size not in wanted:
            continue
        groups: dict[str, list[tuple[float, Result]]] = defaultdict(list)
        for result in report.results:
            if size in _numbers(result):
                groups[_name(result, report, but={size})].append((_numbers(result)[size], result))
        several = {name: sorted(points, key=lambda p: p[0]) for name, points in groups.items() if len(points) > 1}
        if sum(map(len, several.values())) > sum(map(len, best[1].values())):
            best = size, several
    return best


def _numbers(result: Result) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in result.params.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _name(result: Result, report: Report, but: Set[str] = frozenset()) -> str:
    """Case, side and the params that tell it from others, as far as the report has several of them."""
    parts = [result.name] if len({other.name for other in report.results}) > 1 else []
    parts += [result.side] if len({other.side for other in report.results}) > 1 else []
    parts += [f"{name} {_short(value)}" for name, value in _telling(result, report) if name not in but]
    return ", ".join(parts) or result.name


def _telling(result: Result, report: Report) -> Iterator[tuple[str, Param]]:
    alike = [other for other in report.results if other.name == result.name]
    for name, value in result.params.items():
        if any(other.params.get(name) != value for other in alike):
            yield name, value


def _short(value: Param) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
