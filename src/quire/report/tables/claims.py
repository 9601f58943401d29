"""What the design promised, beside what was measured: each claim with the numbers it stands or falls with.

A claim about growth compares exponents (`quire bench growth`); memory that no cache holds may add `ALLOWANCE` to one.
Knows nothing of documents.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from quire.bench.structures import growth
from quire.bench.structures.growth import Curve
from quire.report.evidence import Evidence
from quire.report.tables.markdown import as_table

ALLOWANCE = 0.2
"""Of an exponent: a thousand times the size then costs four times more than the claim, about what main memory is slower
than a cache."""


@dataclass(frozen=True, slots=True)
class Verdict:
    claim: str
    measured: str
    holds: bool
    command: str

    @property
    def word(self) -> str:
        return word(self.holds)


def word(holds: bool) -> str:
    return "holds" if holds else "not reproduced"


def promises(evidence: Evidence) -> list[Verdict]:
    """Those about what a user gets. Raises MissingResultError where nobody measured one."""
    return [claim(evidence) for claim in CLAIMS]


def verdicts(evidence: Evidence) -> list[Verdict]:
    """All of them, those about growth too."""
    return [*promises(evidence), *_growth(evidence)]


def grows_as_claimed(curve: Curve) -> bool:
    return curve.exponent <= curve.claimed_exponent + ALLOWANCE


def _sharing(evidence: Evidence) -> Verdict:
    saved = {block: evidence.median("cache", "sharing", "memory_saved_share", block=block) for block in (16, 256)}
    return Verdict(
        "Sharing prefixes saves 30 to 40 % of the memory where system prompts repeat",
        f"{saved[16]:.0%} with blocks of 16 tokens, {saved[256]:.0%} with blocks of 256",
        min(saved.values()) >= 0.3,
        "quire bench cache",
    )


def _waiting(evidence: Evidence) -> Verdict:
    rate = {
        side: evidence.median("scheduler", "batching", "items_per_s", side) for side in ("wait 50 ms", "wait inf ms")
    }
    kept = rate["wait 50 ms"] / rate["wait inf ms"]
    p95_ms = evidence.percentile("scheduler", "batching", "added_ms", "p95", "wait 50 ms")
    return Verdict(
        "Waiting 50 ms for company keeps 95 % of the throughput, with a p95 under 100 ms",
        f"{kept:.1%} of the throughput of full batches, p95 {p95_ms:.0f} ms",
        kept >= 0.95 and p95_ms < 100,
        "quire bench scheduler",
    )


def _recall(evidence: Evidence) -> Verdict:
    recall = evidence.median("hnsw", "search", "recall", "quire f32", ef=50)
    p95_ms = evidence.percentile("hnsw", "search", "call_ms", "p95", "quire f32", ef=50)
    return Verdict(
        "HNSW with M = 16 and ef = 50 finds over 95 % of the ten nearest in under 5 ms (p95)",
        f"recall@10 {recall:.3f}, p95 {p95_ms:.2f} ms",
        recall > 0.95 and p95_ms < 5,
        "quire bench hnsw --efs 50",
    )


CLAIMS: tuple[Callable[[Evidence], Verdict], ...] = (_sharing, _waiting, _recall)


def _growth(evidence: Evidence) -> Iterator[Verdict]:
    for operation, points, curve in growth.curves(evidence.report("growth")):
        yield Verdict(
            f"{operation.structure}: {operation.name} in O({operation.claim})",
            f"size^{curve.exponent:.2f} up to {points[-1][0]:,} {operation.counts}, where O({operation.claim}) is "
            f"size^{curve.claimed_exponent:.2f}; {points[-1][1]:.3g} µs there",
            grows_as_claimed(curve),
            "quire bench growth",
        )


def as_markdown(found: list[Verdict]) -> str:
    rows = [(v.claim, v.measured, v.word, f"`{v.command}`") for v in found]
    return as_table(("claim", "measured", "", "command"), rows)
