"""Several result files in one table: a row per metric of a case, a column per side, ours and the peers'.

`quire bench engine`, `latency`, `throughput` and `startup` measure the cases a to e; so does `benchmarks/peers.py`, for
other engines and for ours, in turns. Medians. What was measured elsewhere or another day is said below the table.
"""

from collections.abc import Iterator, Sequence

from quire.bench.harness import Param, Result
from quire.bench.results import Report, number
from quire.report.tables.markdown import as_table

SAME = {
    "decode_tok_s": "decode_tokens_per_s",
    "ttft_s": "first_token_s",
    "prefill_tok_s": "prefill_tokens_per_s",
    "out_tok_s": "output_tokens_per_s",
    "wall_cold_s": "cold_s",
    "wall_warm_prefix_s": "warm_s",
    "cold_to_first_token_s": "first_token_s",
    "cold_to_loaded_s": "loaded_s",
}
"""What the peers' drivers call our metrics."""
CASES = {
    "a": "one stream, 128 in and out",
    "b": "prompt of 1,024",
    "c": "32 requests at once",
    "d": "16 requests over one prefix",
    "e": "fresh process",
}
OF_SIDES = ("weights", "version", "error")
"""Params that tell sides apart, not questions."""


def as_markdown(reports: Sequence[Report]) -> str:
    """The table, and a line for each file: what, where and when."""
    found = [(label, result) for report in reports for label, result in _labelled(report)]
    sides = list(dict.fromkeys(side for side, _ in found))
    medians: dict[tuple[str, str], float] = {}
    for side, result in found:
        for metric in result.values:
            medians[_row(result, metric), side] = result.summary(metric).median
    rows = [
        [row, *(number(medians[row, side]) if (row, side) in medians else "–" for side in sides)]
        for row in sorted(dict.fromkeys(row for row, _ in medians), key=_order)
    ]
    return "\n".join([as_table(("", *sides), rows), "", *_notes(reports)])


def _labelled(report: Report) -> Iterator[tuple[str, Result]]:
    for result in report.results:
        weights = result.params.get("weights")
        yield (result.side if weights is None else f"{result.side}-{weights}"), result


def _row(result: Result, metric: str) -> str:
    sizes: dict[str, Param] = {name: value for name, value in result.params.items() if name not in OF_SIDES}
    case = f"{result.name}: {CASES[result.name]}" if result.name in CASES else result.name
    told = "".join(f", {name} {value}" for name, value in sizes.items())
    return f"{case}{told}, {SAME.get(metric, metric)}"


def _order(row: str) -> str:
    """Metrics of a case stay together, in the order in which they were found."""
    return row.rpartition(", ")[0]


def _notes(reports: Sequence[Report]) -> Iterator[str]:
    for report in reports:
        where = report.environment
        busiest = max((result.other_cpus or 0.0 for result in report.results), default=0.0)
        neighbours = f"; others kept up to {busiest:.1f} cores busy" if busiest > 0.1 else ""
        yield (
            f"- {report.title}, {report.date[:10]}: {where['cpu']}, {where['physical_cores']} cores, "
            f"Quire {where.get('commit') or 'of no commit'}{neighbours}"
        )
