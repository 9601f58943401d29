"""What the paper and the slides tell: sections of paragraphs, tables and figures, with the numbers put in.

Every number comes from `evidence`; words come from here. Knows nothing of Word or PowerPoint.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from quire.bench.structures import growth
from quire.bench.structures.growth import OPERATIONS
from quire.report.architecture.house import House
from quire.report.documents.references import REFERENCES, Reference
from quire.report.evidence import Evidence
from quire.report.tables.claims import ALLOWANCE, grows_as_claimed, promises, verdicts, word

TITLE = "Quire: Serving Language Models and Answering From Documents in One Process"
RUNNING_HEAD = "ONE PROCESS FOR SERVING AND RETRIEVAL"


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def shares(self) -> list[float]:
        """Of the width, what each column gets: more where there is more to say."""
        columns = zip(self.header, *self.rows, strict=True)
        wants = [max(10.0, max(map(len, column)) ** 0.8) for column in columns]
        return [want / sum(wants) for want in wants]


@dataclass(frozen=True, slots=True)
class Figure:
    """`name` is that of a picture in `figures.DRAWN`."""

    caption: str
    name: str
    note: str = ""


Part: TypeAlias = str | Table | Figure
"""A string is a paragraph."""


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    parts: tuple[Part, ...]
    points: tuple[str, ...] = ()
    """What a slide says of it."""


@dataclass(slots=True)
class Story:
    abstract: str
    keywords: tuple[str, ...]
    sections: list[Section]
    references: list[Reference]


@dataclass(slots=True)
class Citations:
    used: set[str] = field(default_factory=set)

    def __call__(self, *keys: str) -> str:
        """`(Kwon et al., 2023; Yu et al., 2022)`, as APA orders them."""
        self.used.update(keys)
        return f"({'; '.join(sorted(REFERENCES[key].cited for key in keys))})"

    def entries(self) -> list[Reference]:
        return sorted((REFERENCES[key] for key in self.used), key=lambda reference: reference.entry.replace("*", ""))


def tell(evidence: Evidence, house: House) -> Story:
    """Raises MissingResultError where a number was never measured."""
    cite = Citations()
    makers: tuple[Callable[[Evidence, House, Citations], Section], ...] = (
        _context,
        _structures,
        _rationale,
        _implementation,
        _benchmarks,
        _claims,
        _limitations,
    )
    sections = [make(evidence, house, cite) for make in makers]
    return Story(_abstract(evidence), KEYWORDS, sections, cite.entries())


KEYWORDS = ("large language models", "paged key-value cache", "scheduling", "nearest neighbor search", "BM25")


def _abstract(evidence: Evidence) -> str:
    found = [verdict.holds for verdict in verdicts(evidence)]
    kept = f"all {len(found)}" if all(found) else f"{sum(found)} of {len(found)}"
    heap = evidence.median("indexed_heap", "entries", "pop_per_s") / evidence.median(
        "indexed_heap", "entries", "pop_per_s", "heapq"
    )
    saved = evidence.median("cache", "sharing", "memory_saved_share", block=16)
    return (
        "Quire serves a language model and searches a collection of documents in one process, on ordinary processors. "
        "It rests on a few data structures: a paged key-value cache whose pages are found again by the hash of what "
        "they hold, an indexed heap for the waiting queue, a navigable graph for nearest vectors, a block-compressed "
        "inverted index, and a count-min sketch for what is asked often. Each was timed as it grows. "
        f"Sharing prefixes saved {saved:.0%} of the cache on a workload of repeated "
        f"system prompts, and the heap pops {heap:.0f} times as fast as Python's own with lazy deletion. Of the "
        f"claims that the design made, {kept} were reproduced on the machine that this paper was written on."
    )


def _context(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001 (one signature for all)
    return Section(
        "Application Context",
        (
            "A language model answers one token at a time, and each token needs the keys and values of all tokens "
            f"before it {cite('scaling')}. A server therefore has two scarce things to share out: the memory that "
            "these keys and values take, and the time of the next step. Requests come with different lengths, "
            "deadlines and owners, many of them begin with the same words, and nobody knows beforehand how long an "
            f"answer will be. Batching at the level of single steps {cite('orca')} and paged memory {cite('paged')} "
            "made such servers practical.",
            "Many answers must come from documents that the model has never seen. Retrieval-augmented generation "
            f"{cite('rag')} finds passages first and lets the model read them. Usually this joins three services: a "
            "model server, a vector database and a search engine. Quire is one process, so that a passage found can be "
            "a prefix that was computed already.",
        ),
        (
            "A server shares out memory for keys and values, and the time of the next step",
            "Requests share prefixes, differ in length and deadline, and may be too many",
            "Answers from documents: retrieval and generation in one process",
        ),
    )


def _structures(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001
    rows = tuple((op.structure, op.name, f"O({op.claim})", f"n = {op.counts}") for op in OPERATIONS)
    return Section(
        "Chosen Data Structures",
        (
            "The cache is a table of fixed-size pages with reference counts, as in an operating system "
            f"{cite('paged')}. A full page is known by a SHA-256 chain over the tokens that it and its predecessors "
            "hold; equal chains mean equal prefixes, so that sharing needs no tree to be walked, in contrast to a "
            f"radix tree {cite('radix')}. A page written to while shared is copied first.",
            "The waiting queue is a binary heap in which every key knows its place, so that a deadline that draws near "
            "can move a request without a search. Vectors lie in a hierarchical navigable small-world graph "
            f"{cite('hnsw')}, words in an inverted index with variable-length postings and a maximum per block that "
            f"lets whole blocks be passed over {cite('blockmax')}, ranked by BM25 {cite('bm25')}. The two rankings are "
            f"joined by reciprocal rank {cite('rrf')}. A count-min sketch {cite('countmin')} with conservative update "
            f"{cite('conservative')} counts queries in constant memory.",
            Table("Operations and the Complexity Claimed for Them", ("Structure", "Operation", "Cost", "Size"), rows),
        ),
        (
            "Pages with reference counts, found again by a SHA-256 chain",
            "An indexed heap: a request's place in the queue can change in O(log n)",
            "HNSW for meaning, block-max BM25 for words, joined by rank",
            "A count-min sketch for what is asked often",
        ),
    )


def _rationale(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001
    fitted = tuple(
        (
            f"{op.structure}: {op.name}",
            f"O({op.claim})",
            f"{curve.claimed_exponent:.2f}",
            f"{curve.exponent:.2f}",
            word(grows_as_claimed(curve)),
        )
        for op, _, curve in growth.curves(evidence.report("growth"))
    )
    return Section(
        "Design Rationale and Complexity",
        (
            "Constant time per page is what makes the cache worth having: a step handles thousands of pages between "
            "two tokens. A tree of prefixes would cost a walk for every lookup and a split for every divergence; a "
            "chain of hashes costs one compression per page when the page fills, and a dictionary lookup later. The "
            "heap gives up the constant time of a list for the right to reorder, which deadlines need. For vectors, "
            "exact search is linear and was kept for small collections and narrow filters only.",
            "Each operation was timed at sizes eight times apart. A power of the size was fitted to the medians by "
            "least squares in logarithms, and is held against the power that the claimed complexity has over the same "
            "sizes.",
            Table(
                "Fitted Growth of Each Operation",
                ("Operation", "Claimed", "As a power", "Fitted power", "Verdict"),
                fitted,
                f"A size^{ALLOWANCE} more than claimed is put down to memory that no cache of the processor holds.",
            ),
            Figure(
                "Time of One Operation by Size", "growth", "Both axes are logarithmic; a flat line is constant time."
            ),
        ),
        ("Constant time per page: thousands of pages between two tokens", "Growth fitted over sizes eight times apart"),
    )


def _implementation(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001
    num_rooms = sum(len(layer) for layer in house.layers)
    return Section(
        "Implementation Overview",
        (
            f"The package has {num_rooms} rooms in {len(house.layers)} layers. A room answers one question and uses "
            "only the rooms below it; a program checks that at every change, and the figure is drawn from the same "
            "contract. Python holds what changes often, a C++ core what runs often: kernels, heap, graph, postings and "
            "sketch. No structure exists twice; each native one is held to a slow and obvious twin in the tests.",
            "A step is filled with decodes first, then with pieces of prompts that wait "
            f"{cite('chunked')}. The plan becomes a few arrays, the model's layers call kernels on them, and the "
            "sampler draws every row from a random stream of its own, so that a request's tokens do not depend on who "
            f"else is in the batch. Embeddings for retrieval come from a sentence encoder {cite('sbert')} on the same "
            "kernels.",
            Figure("The Rooms and Who Uses Whom", "architecture", "Drawn from the import contract and the sources."),
        ),
        (f"{num_rooms} rooms in {len(house.layers)} layers, checked by a program", "Python on top, one small C++ core"),
    )


def _benchmarks(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001
    sharing = {b: evidence.median("cache", "sharing", "prefill_saved_share", block=b) for b in (16, 256)}
    urgent = {
        side: evidence.median("scheduler", "deadlines", "urgent_in_time_share", side) for side in ("quire", "fcfs")
    }
    kept = {
        side: evidence.median("scheduler", "admission", "goodput_of_peak_share", side)
        for side in ("quire", "no admission")
    }
    return Section(
        "Benchmarks",
        (
            f"Measured on {evidence.machine()}. A benchmark warms up, repeats, and lets "
            "the sides of a comparison take turns, so that a slow minute meets both; medians are given.",
            Table(
                "The Waiting Queue: Operations per Second at 100,000 Entries",
                ("Structure", "Push", "Update", "Pop"),
                _heap_rows(evidence),
                "Called one by one from Python. heapq with lazy deletion.",
            ),
            Table(
                "The Cache: Microseconds per Sequence of 1,024 Tokens, Allocated and Freed",
                ("Manager", "Blocks of 16", "Blocks of 256"),
                _cache_rows(evidence),
                "Half of the tokens are shared. All hash or compare every token.",
            ),
            f"Shared prefixes spared {sharing[16]:.0%} of the prompt tokens with blocks of 16, and {sharing[256]:.0%} "
            f"with blocks of 256. At 1.2 times the capacity, {urgent['quire']:.0%} of the urgent requests met their "
            f"deadline when the queue was ordered by slack, and {urgent['fcfs']:.0%} when it was ordered by arrival. "
            f"Offered ten times what it could do, a server with admission control kept {kept['quire']:.0%} of its best "
            f"throughput of answers in time, and one without {kept['no admission']:.0%} (both simulated).",
            Figure("What Waiting for Company Costs and Brings", "waiting", "A simulated server at 80 % load."),
        ),
        (
            f"Shared prefixes spare {sharing[16]:.0%} of the prompt tokens",
            f"Urgent requests in time at 1.2 times the capacity: {urgent['quire']:.0%} by slack, {urgent['fcfs']:.0%} "
            "by arrival",
            f"Ten times overload: {kept['quire']:.0%} of peak with admission control, {kept['no admission']:.0%} "
            "without",
        ),
    )


def _claims(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001
    found = promises(evidence)
    rows = tuple((verdict.claim, verdict.measured, verdict.word) for verdict in found)
    return Section(
        "Claims of the Design",
        (
            "The design made promises before anything was built. They are repeated here beside what was measured; "
            "where a promise was not kept, that is what the table says.",
            Table("Promises of the Design and What Was Measured", ("Claim", "Measured", "Verdict"), rows),
        ),
        tuple(f"{verdict.claim}: {verdict.measured} ({verdict.word})" for verdict in found),
    )


def _limitations(evidence: Evidence, house: House, cite: Citations) -> Section:  # noqa: ARG001
    return Section(
        "Challenges and Limitations",
        (
            "Decoding is bound by the memory that the weights are read from, and no data structure changes that; "
            "smaller weights do. A processor without instructions for short integers gains less from them. The numbers "
            "are from one small machine that other programs use as well, so ratios say more than times. The deadlines "
            "and the overload of this paper are simulated, with costs per step that a real server does not keep so "
            "evenly.",
            "Hash chains find prefixes only: a passage that stands in another place of the prompt is computed again. "
            "The graph of vectors lives in memory. The language model that comes with the package is small enough to "
            "try the system with, and not to be believed.",
        ),
        (
            "Decoding is bound by memory bandwidth",
            "One small, shared machine: ratios say more than times",
            "A passage is found again only where it is a prefix",
        ),
    )


def _heap_rows(evidence: Evidence) -> tuple[tuple[str, ...], ...]:
    names = {"quire": "IndexedHeap", "heapq": "heapq", "pqdict": "pqdict"}
    return _rows(evidence, names, "indexed_heap", "entries", [(f"{op}_per_s", {}) for op in ("push", "update", "pop")])


def _cache_rows(evidence: Evidence) -> tuple[tuple[str, ...], ...]:
    names = {"quire": "Quire", "nano-vllm": "nano-vllm", "mini-sglang": "mini-sglang"}
    return _rows(evidence, names, "cache", "sequences", [("sequence_us", {"block": block}) for block in (16, 256)])


def _rows(
    evidence: Evidence,
    names: dict[str, str],
    benchmark: str,
    case: str,
    columns: Sequence[tuple[str, dict[str, int]]],
) -> tuple[tuple[str, ...], ...]:
    """Ours, and the peers that were there."""
    there = {result.side for result in evidence.report(benchmark).results if result.name == case}
    return tuple(
        (
            name,
            *(_told(evidence.median(benchmark, case, metric, side, **params)) for metric, params in columns),
        )
        for side, name in names.items()
        if side == "quire" or side in there
    )


def _told(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
