"""The numbers of the README: what a user would ask first, of the results of `make bench`.

Every one comes from a result; one that nobody measured is an error that names the command. Knows nothing of pages.
"""

from collections.abc import Callable
from dataclasses import dataclass

from quire.bench.results import number
from quire.report.evidence import Evidence
from quire.report.tables.markdown import as_table


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    measured: str
    command: str


BENCHMARKS = ("engine", "overhead", "cache", "indexed_heap", "hnsw", "slo", "overload")


def rows(evidence: Evidence) -> list[Row]:
    return [row(evidence) for row in ROWS]


def as_markdown(evidence: Evidence) -> str:
    """The table, and where it was measured."""
    table = as_table(
        ("what", "measured", "command"), ((row.what, row.measured, f"`{row.command}`") for row in rows(evidence))
    )
    places: dict[str, set[str]] = {}
    for benchmark in BENCHMARKS:
        facts = evidence.report(benchmark).environment
        where = f"{facts['cpu']}, {facts['physical_cores']} cores, {facts['memory_gib']} GiB of memory"
        places.setdefault(where, set()).update({facts["kernels"]} if "kernels" in facts else ())
    told = (f"{where}, {' and '.join(sorted(kernels)) or 'unknown'} kernels" for where, kernels in places.items())
    return f"{table}\n\nMeasured on {'; and on '.join(told)}."


def _one_stream(evidence: Evidence) -> Row:
    first_s, decode = (
        evidence.median("engine", "a", m, weights="int8") for m in ("first_token_s", "decode_tokens_per_s")
    )
    return Row(
        "0.6B model, int8, one stream of 128 tokens in, 128 out: first token, then decode",
        f"{number(first_s, 3)} s, {number(decode, 3)} tokens/s",
        "quire bench latency --weights int8",
    )


def _prefill(evidence: Evidence) -> Row:
    rate = evidence.median("engine", "b", "prefill_tokens_per_s", weights="int8")
    return Row(
        "the same, a prompt of 1,024 tokens: prefill", f"{number(rate)} tokens/s", "quire bench latency --weights int8"
    )


def _many(evidence: Evidence) -> Row:
    rate = evidence.median("engine", "c", "output_tokens_per_s", weights="int8")
    return Row(
        "the same, 32 requests at once (10,834 tokens in, 2,359 out)",
        f"{number(rate, 3)} tokens/s",
        "quire bench throughput --weights int8",
    )


def _prefix(evidence: Evidence) -> Row:
    cold_s, warm_s = (evidence.median("engine", "d", m, weights="int8") for m in ("cold_s", "warm_s"))
    return Row(
        "the same, 16 requests over one prefix of 1,024 tokens: cold, warm",
        f"{number(cold_s, 3)} s, {number(warm_s, 3)} s",
        "quire bench throughput --weights int8",
    )


def _start(evidence: Evidence) -> Row:
    first_s, peak = (evidence.median("engine", "e", m, weights="int8") for m in ("first_token_s", "peak_rss_gib"))
    return Row(
        "the same, a fresh process to its first token; its peak memory",
        f"{number(first_s, 3)} s; {number(peak, 3)} GiB",
        "quire bench startup --weights int8",
    )


def _overhead(evidence: Evidence) -> Row:
    plain, text = (evidence.median("overhead", case, "per_sequence_us") for case in ("bookkeeping", "incremental text"))
    return Row(
        "the engine's own work per sequence and step; with text made as tokens come",
        f"{number(plain, 2)} µs; {number(text, 2)} µs",
        "quire bench overhead",
    )


def _sharing(evidence: Evidence) -> Row:
    saved = evidence.median("cache", "sharing", "memory_saved_share", block=16)
    return Row("500 requests over 8 system prompts: memory saved by sharing", f"{saved:.0%}", "quire bench cache")


def _heap(evidence: Evidence) -> Row:
    ours, theirs = (evidence.median("indexed_heap", "entries", "pop_per_s", side) for side in ("quire", "heapq"))
    return Row(
        "the queue, 100,000 entries: pops a second; with heapq and lazy deletion",
        f"{number(ours, 2)}; {number(theirs, 2)}",
        "quire bench indexed_heap",
    )


def _search(evidence: Evidence) -> Row:
    rate, recall = (evidence.median("hnsw", "search", m, "quire int8", ef=50) for m in ("queries_per_s", "recall"))
    return Row(
        "nearest of 20,000 vectors, one thread: queries a second at recall@10",
        f"{number(rate, 3)} at {recall:.3f}",
        "quire bench hnsw --efs 50",
    )


def _deadlines(evidence: Evidence) -> Row:
    slo, fcfs = (evidence.median("slo", "overload", "urgent_in_time_share", side) for side in ("quire", "fcfs"))
    return Row(
        "1.2 times the load it can bear, a tenth urgent: urgent in time; first come, first served",
        f"{slo:.0%}; {fcfs:.0%}",
        "quire bench slo",
    )


def _overload(evidence: Evidence) -> Row:
    kept, lost = (evidence.median("overload", "overload", m) for m in ("goodput_share", "lost"))
    return Row(
        "a server offered 10 times its peak: what it still does of that peak; requests lost",
        f"{kept:.0%}; {lost:.0f}",
        "quire bench overload",
    )


ROWS: tuple[Callable[[Evidence], Row], ...] = (
    _one_stream,
    _prefill,
    _many,
    _prefix,
    _start,
    _overhead,
    _sharing,
    _heap,
    _search,
    _deadlines,
    _overload,
)
