"""Quality of search: nDCG@10 by words, by meaning and by both, on judged collections, beside bm25s.

Case ndcg, one a judged collection: Cranfield, CISI, Vaswani (queries, judged documents) and SQuAD (each question's
paragraph). Sides: lexical, dense and hybrid as a Collection answers them with its defaults, and bm25s, its Lucene
variant with the same k1, b and terms. Documents are indexed whole. nDCG has the grades as gains, log2 of rank + 1 as
discounts, and is the mean over queries. What is measured is the same in every repetition, so it is computed once.

`data` (or QUIRE_DATA) is the folder with the collections; it has to be given. `max_queries` of each are asked.
"""

import gzip
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.errors import ConfigError
from quire.retrieval.collection import Collection
from quire.retrieval.inverted_index import InvertedIndex

K, K1, B = 10, 1.5, 0.75
JUDGED = ("cranfield", "cisi", "vaswani")
MODES = ("lexical", "dense", "hybrid")
Grades: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    name: str
    texts: Mapping[str, str]
    questions: Sequence[tuple[str, Grades]]


def cases(*, data: str = "", only: str = "", max_queries: int = 1_000) -> list[Case]:
    folder = Path(data or os.environ.get("QUIRE_DATA", ""))
    if not (folder / f"{JUDGED[0]}.json.gz").exists():
        raise ConfigError(f"{str(folder)!r} has no {JUDGED[0]}.json.gz; give --data the folder of the collections")
    known = (*JUDGED, "squad_a")
    wanted = only.split(",") if only else known
    if unknown := [name for name in wanted if name not in known]:
        raise ConfigError(f"only has {unknown[0]!r}; allowed: {', '.join(known)}, several with commas between.")
    sides = (*MODES, *(["bm25s"] if find_spec("bm25s") else []))
    return [
        Case("ndcg", partial(probe.measure, side), {"collection": probe.name}, side, probe.close)
        for probe in (_Probe(folder, name, max_queries) for name in wanted)
        for side in sides
    ]


def explain(report: Report) -> str:
    """The table for the documentation."""
    found: dict[str, dict[str, float]] = {}
    for result in report.results:
        found.setdefault(str(result.params["collection"]), {})[result.side] = result.summary("ndcg_10").mean
    sides = list(next(iter(found.values())))
    lines = [f"| collection | {' | '.join(sides)} |", f"| --- |{' --- |' * len(sides)}"]
    for name, by_side in found.items():
        lines.append(f"| {name} | {' | '.join(f'{by_side[side]:.4f}' for side in sides)} |")
    return "\n".join(lines)


class _Probe:
    """One judged collection, indexed when it is first asked, in a folder of its own."""

    def __init__(self, folder: Path, name: str, max_queries: int) -> None:
        self.name = name
        self._folder, self._max_queries = folder, max_queries
        self._place: str | None = None
        self._collection: Collection | None = None
        self._judged: Judged | None = None
        self._found: dict[str, Measurement] = {}

    def measure(self, side: str) -> Measurement:
        if side not in self._found:
            ask = self._bm25s() if side == "bm25s" else partial(self._ask, side)
            begin = perf_counter()
            scores = [ndcg(ask(question), grades) for question, grades in self.judged.questions]
            query_ms = 1000 * (perf_counter() - begin) / len(scores)
            self._found[side] = Measurement({"ndcg_10": math.fsum(scores) / len(scores), "query_ms": query_ms})
        return self._found[side]

    def close(self) -> None:
        if self._collection is not None and self._place is not None:
            self._collection.close()
            shutil.rmtree(self._place)
        self._collection = self._judged = None

    @property
    def judged(self) -> Judged:
        if self._judged is None:
            self._judged = _read(self._folder, self.name, self._max_queries)
        return self._judged

    def _ask(self, mode: Any, question: str) -> list[str]:
        if self._collection is None:
            self._place = tempfile.mkdtemp(prefix="quire-bench-")
            self._collection = Collection.open(Path(self._place))
            self._collection.add([{"id": key, "text": text} for key, text in self.judged.texts.items()])
        return [hit.document_id for hit in self._collection.search(question, K, mode=mode)]

    def _bm25s(self) -> Callable[[str], list[str]]:
        terms, ids = cache(InvertedIndex().terms), list(self.judged.texts)
        index = import_module("bm25s").BM25(k1=K1, b=B, method="lucene")
        index.index([list(terms(text)) for text in self.judged.texts.values()], show_progress=False)

        def ask(question: str) -> list[str]:
            places, scores = index.retrieve([list(terms(question))], k=min(K, len(ids)), show_progress=False)
            return [ids[place] for place, score in zip(places[0], scores[0], strict=True) if score > 0]

        return ask


def ndcg(ranking: Sequence[str], grades: Grades) -> float:
    """Of the first ten; 1 where nothing better could stand there."""
    gained = math.fsum(grades.get(key, 0.0) / math.log2(rank + 1) for rank, key in enumerate(ranking[:K], 1))
    best = sorted(grades.values(), reverse=True)[:K]
    return gained / math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(best, 1))


def _read(folder: Path, name: str, max_queries: int) -> Judged:
    with gzip.open(folder / f"{name}.json.gz", "rt", encoding="utf-8") as file:
        found = json.load(file)
    if name in JUDGED:
        questions = [(found["queries"][key], grades) for key, grades in found["qrels"].items() if any(grades.values())]
        return Judged(name, dict(found["docs"]), questions[:max_queries])
    questions = [(asked["question"], {str(i): 1.0}) for i, part in enumerate(found) for asked in part["qas"]]
    step = max(1, len(questions) // max_queries)
    return Judged(name, {str(i): part["text"] for i, part in enumerate(found)}, questions[::step][:max_queries])
