"""Results as people read them (a table), as programs read them (JSON, CSV), and beside an earlier run.

Knows nothing of how a number was made. A report read back from its JSON is equal to the one that was written.
"""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from quire.bench.harness import Result
from quire.bench.machine import environment
from quire.bench.stats import Summary
from quire.bench.tail import Tail

SCHEMA = 1
BUSY_CPUS = 0.1
MAX_KEPT_SAMPLES = 1001
NAME_WIDTH = 26
UNITS = ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k"))
"""From which value on a number is written in which unit, with which letter."""


@dataclass(frozen=True, slots=True)
class Report:
    """The results of one benchmark on one machine."""

    title: str
    results: list[Result]
    environment: dict[str, Any] = field(default_factory=environment.describe)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def table(self) -> Table:
        """A row per metric, and one per kind of sample with its percentiles."""
        return _table(self)

    def tails(self) -> str:
        """Why the slowest were slow, for each case that was asked."""
        return "\n\n".join(f"{_label(r)}\n{r.tail.text()}" for r in self.results if r.tail is not None)

    def to_json(self) -> str:
        head = {"schema": SCHEMA, "title": self.title, "date": self.date, "environment": self.environment}
        return json.dumps(head | {"results": [_result_dict(r) for r in self.results]}, indent=1, allow_nan=False)

    def to_csv(self) -> str:
        """One line per metric of each case; the parameters as JSON in one column."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            ("case", "side", "params", "metric", "count", "mean", "sd", "median", "ci95_low", "ci95_high", "cv")
        )
        for result in self.results:
            for metric in result.values:
                s = result.summary(metric)
                numbers = (s.count, s.mean, s.sd, s.median, *s.ci95, s.cv)
                writer.writerow((result.name, result.side, json.dumps(result.params), metric, *numbers))
        return out.getvalue()

    @classmethod
    def from_json(cls, text: str) -> "Report":
        data = json.loads(text)
        found = data.get("schema") if isinstance(data, dict) else None
        if found != SCHEMA:
            raise ValueError(f"its schema is {found!r}; allowed: {SCHEMA}")
        results = [_result_of(entry) for entry in data["results"]]
        return cls(data["title"], results, data["environment"], data["date"])

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Raises ValueError with the path where it is no saved report, OSError where it cannot be read."""
        try:
            return cls.from_json(path.read_text())
        except KeyError as error:
            raise ValueError(f"{path} is not a saved benchmark report: it has no {error}") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved benchmark report: {error}") from error


def compare(new: Report, old: Report) -> Table:
    """A row per metric that both runs have: the ratio of medians, and whether the 95 % intervals are apart."""
    title = f"{new.title}: now against {old.date} ({old.environment.get('commit') or 'no commit'})"
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    table.add_column("case, metric", overflow="fold", min_width=NAME_WIDTH)
    for heading in ("then", "now", "now / then", "intervals"):
        table.add_column(heading, justify="right", no_wrap=True)
    earlier = {_key(result): result for result in old.results}
    for result in new.results:
        before = earlier.get(_key(result))
        if before is not None:
            table.add_row(_label(result), style="bold")
            for metric in filter(before.values.__contains__, result.values):
                table.add_row(f"  {metric}", *_comparison(result.summary(metric), before.summary(metric)))
    apart = environment.differences(new.environment, old.environment)
    table.caption = "; ".join(apart) if apart else "same environment"
    return table


def number(value: float, digits: int = 4) -> str:
    """A few significant digits for people: 0.01234, 12.34, 9,876, 12.35k, 3.377M; a dash for what is not known."""
    if math.isnan(value):
        return "–"
    for limit, unit, letter in UNITS:
        if abs(value) >= limit:
            return f"{_rounded(value / unit, digits):g}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{_rounded(value, digits):g}"


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _comparison(now: Summary, then: Summary) -> tuple[str, str, str, str]:
    ratio = now.median / then.median if then.median else math.nan
    return number(then.median), number(now.median), f"{ratio:.3f}", _verdict(now.ci95, then.ci95)


def _verdict(now: tuple[float, float], then: tuple[float, float]) -> str:
    if math.isnan(now[0] + then[0]):
        return "–"
    return "apart" if now[1] < then[0] or then[1] < now[0] else "overlap"


def _key(result: Result) -> tuple[str, str, str]:
    return result.name, result.side, json.dumps(result.params, sort_keys=True)


def _label(result: Result) -> str:
    sizes = " ".join(f"{name}={value}" for name, value in result.params.items())
    side = "" if result.side == "quire" else f" ({result.side})"
    return f"{result.name}{side} {sizes}".strip()


def _table(report: Report) -> Table:
    where = report.environment
    title = f"{report.title}: {where['cpu']}, {where['physical_cores']} cores, environment {where['hash']}"
    table = Table(title=title, box=SIMPLE, pad_edge=False)
    table.add_column("case, metric", overflow="fold", min_width=NAME_WIDTH)
    for heading in ("median", "mean ± sd", "95 % interval", "CV"):
        table.add_column(heading, justify="right")
    for result in report.results:
        table.add_row(_label(result), style="bold")
        for name, *cells in _rows(result):
            table.add_row(f"  {name}", *cells)
    notes = list(_notes(report))
    table.caption = " ".join(notes) if notes else None
    return table


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    for metric in result.values:
        s = result.summary(metric)
        spread = f"{number(s.mean)} ± {number(s.sd, 3)}"
        interval = f"{number(s.ci95[0], 3)} … {number(s.ci95[1], 3)}"
        share = "–" if math.isnan(s.cv) else f"{s.cv:.1%}{' *' if s.is_flaky else ''}"
        yield metric, number(s.median), spread, interval, share
    for metric, samples in result.samples.items():
        for point, value in result.percentiles(metric).items() if samples else ():
            yield f"{metric} {point}", number(value), f"of {len(samples):,}"
    yield "peak RSS", f"{result.rss_peak_bytes / 1e6:,.0f} MB", f"+{result.rss_delta_bytes / 1e6:,.0f} MB"


def _notes(report: Report) -> Iterator[str]:
    if any(r.summary(m).is_flaky for r in report.results for m in r.values):
        yield "* flaky: the repetitions differ by more than 20 %; run again on a quiet machine."
    busiest = max((r.other_cpus or 0.0 for r in report.results), default=0.0)
    if busiest > BUSY_CPUS:
        yield f"Other processes kept up to {busiest:.1f} cores busy meanwhile."


def _result_dict(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {
        "case": result.name,
        "side": result.side,
        "params": result.params,
        "metrics": {metric: _summary_dict(result.summary(metric)) for metric in result.values},
        "samples": {
            m: result.percentiles(m) | {"count": len(v), "values": _kept(v)} for m, v in result.samples.items() if v
        },
        "rss_peak_bytes": result.rss_peak_bytes,
        "rss_delta_bytes": result.rss_delta_bytes,
        "other_cpus": result.other_cpus,
    }
    if result.tail is not None:
        found["tail"] = result.tail.as_dict()
    if result.memory:
        found["memory"] = result.memory
    return found


def _kept(samples: list[float]) -> list[float]:
    """The samples; of more than `MAX_KEPT_SAMPLES`, that many evenly spaced in their order, least and greatest too."""
    if len(samples) <= MAX_KEPT_SAMPLES:
        return samples
    ordered, last = sorted(samples), len(samples) - 1
    return [ordered[round(last * i / (MAX_KEPT_SAMPLES - 1))] for i in range(MAX_KEPT_SAMPLES)]


def _summary_dict(s: Summary) -> dict[str, Any]:
    known = {"mean": s.mean, "sd": s.sd, "median": s.median, "ci95_low": s.ci95[0], "ci95_high": s.ci95[1], "cv": s.cv}
    numbers = {name: None if math.isnan(value) else value for name, value in known.items()}
    return {"values": list(s.values), **numbers, "is_flaky": s.is_flaky}


def _result_of(entry: dict[str, Any]) -> Result:
    return Result(
        entry["case"],
        entry["side"],
        entry["params"],
        {metric: summary["values"] for metric, summary in entry["metrics"].items()},
        {metric: samples["values"] for metric, samples in entry["samples"].items()},
        entry["rss_peak_bytes"],
        entry["rss_delta_bytes"],
        entry["other_cpus"],
        Tail.from_dict(entry["tail"]) if "tail" in entry else None,
        [(seconds, resident) for seconds, resident in entry.get("memory", [])],
    )
