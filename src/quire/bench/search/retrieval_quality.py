"""Quality of search: nDCG@10 by words, by meaning and by both, on judged collections, beside bm25s.

Case ndcg, one a judged collection. Sides: lexical, dense and hybrid as a Collection answers them with its defaults, and
bm25s, its Lucene variant with the same k1, b and terms; and bm25s again without terms that a question repeats, which
shows what counting them is worth. Documents are indexed whole, so that a hit is a document on every side. nDCG has the
grades as gains, log2 of rank + 1 as discounts, and is the mean over queries. What is measured is the same in every
repetition, so it is computed once.

`data` (or QUIRE_DATA) has to be given: a dataset with questions that were judged, PATH or PATH:format; or a folder with
Cranfield, CISI, Vaswani (queries, judged documents) and SQuAD (each question's paragraph), of which `only` names some.
`max_queries` of each are asked, over the whole of it, or over `sizes`: what is good for a question, and then others.
"""

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeAlias

from quire.bench.datasets import Dataset, Document, Question, open_dataset
from quire.bench.harness import Case, Measurement
from quire.bench.results import Report
from quire.bench.search.asked import given_dataset, given_place
from quire.errors import ConfigError
from quire.retrieval.collection import Collection, WholeDocuments
from quire.retrieval.inverted_index import InvertedIndex

K, K1, B = 10, 1.5, 0.75
KNOWN = ("cranfield", "cisi", "vaswani", "squad_a")
"""Of a folder that has them."""
MODES = ("lexical", "dense", "hybrid")
PEERS = ("bm25s", "bm25s, each term once")
Grades: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    texts: Mapping[str, str]
    questions: Sequence[Question]


def cases(
    *, data: str = "", only: str = "", sizes: tuple[int, ...] = (), max_queries: int = 1_000, quick: bool = False
) -> list[Case]:
    sides = (*MODES, *(PEERS if find_spec("bm25s") else ()))
    return [
        Case("ndcg", partial(probe.measure, side), probe.params, side, probe.close)
        for dataset in _datasets(data, only)
        for probe in (_Probe(dataset, size, 10 if quick else max_queries) for size in sizes or (None,))
        for side in sides
    ]


def _datasets(data: str, only: str) -> list[Dataset]:
    folder = Path(given_place(data))
    if not (folder / f"{KNOWN[0]}.json.gz").exists():
        if only:
            raise ConfigError(f"only is {only!r}, but {str(folder)!r} has no {KNOWN[0]}.json.gz and the others.")
        return [given_dataset(data)]
    wanted = only.split(",") if only else KNOWN
    if unknown := [name for name in wanted if name not in KNOWN]:
        raise ConfigError(f"only has {unknown[0]!r}; allowed: {', '.join(KNOWN)}, several with commas between.")
    return [open_dataset(str(folder / f"{name}.json.gz")) for name in wanted]


def explain(report: Report) -> str:
    """The table for the documentation."""
    found: dict[str, dict[str, float]] = {}
    for result in report.results:
        name = " of ".join(str(result.params[key]) for key in ("documents", "collection") if key in result.params)
        found.setdefault(name, {})[result.side] = result.summary("ndcg_10").mean
    sides = list(next(iter(found.values())))
    lines = [f"| collection | {' | '.join(sides)} |", f"| --- |{' --- |' * len(sides)}"]
    for name, by_side in found.items():
        lines.append(f"| {name} | {' | '.join(f'{by_side[side]:.4f}' for side in sides)} |")
    return "\n".join(lines)


class _Probe:
    """One judged collection, indexed when it is first asked, in a folder of its own."""

    def __init__(self, dataset: Dataset, size: int | None, max_queries: int) -> None:
        self.params = {"collection": dataset.name} | ({} if size is None else {"documents": size})
        self._dataset, self._size, self._max_queries = dataset, size, max_queries
        self._place: str | None = None
        self._collection: Collection | None = None
        self._judged: Judged | None = None
        self._found: dict[str, Measurement] = {}

    def measure(self, side: str) -> Measurement:
        if side not in self._found:
            ask = self._bm25s(is_counting=side == PEERS[0]) if side in PEERS else partial(self._ask, side)
            questions = self.judged.questions
            ask(questions[0].text)  # the first of all indexes the documents
            begin = perf_counter()
            scores = [ndcg(ask(question.text), question.grades) for question in questions]
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
            self._judged = _read(self._dataset, self._size, self._max_queries)
        return self._judged

    def _ask(self, mode: Any, question: str) -> list[str]:
        if self._collection is None:
            self._place = tempfile.mkdtemp(prefix="quire-bench-")
            self._collection = Collection.open(Path(self._place), chunker=WholeDocuments())
            self._collection.add([{"id": key, "text": text} for key, text in self.judged.texts.items()])
        return [hit.document_id for hit in self._collection.search(question, K, mode=mode)]

    def _bm25s(self, *, is_counting: bool) -> Callable[[str], list[str]]:
        terms, ids = cache(InvertedIndex().terms), list(self.judged.texts)
        index = import_module("bm25s").BM25(k1=K1, b=B, method="lucene")
        index.index([list(terms(text)) for text in self.judged.texts.values()], show_progress=False)

        def ask(question: str) -> list[str]:
            asked = list(terms(question) if is_counting else dict.fromkeys(terms(question)))
            places, scores = index.retrieve([asked], k=min(K, len(ids)), show_progress=False)
            return [ids[place] for place, score in zip(places[0], scores[0], strict=True) if score > 0]

        return ask


def ndcg(ranking: Sequence[str], grades: Grades) -> float:
    """Of the first ten; 1 where nothing better could stand there. REQUIRES: no document twice in the ranking."""
    gained = math.fsum(grades.get(key, 0.0) / math.log2(rank + 1) for rank, key in enumerate(ranking[:K], 1))
    best = sorted(grades.values(), reverse=True)[:K]
    return gained / math.fsum(grade / math.log2(rank + 1) for rank, grade in enumerate(best, 1))


def _read(dataset: Dataset, size: int | None, max_queries: int) -> Judged:
    """Questions from all over the dataset, and its documents: `size` of them, all that answer first."""
    questions = list(dataset.questions())
    if not questions:
        raise ConfigError(f"{dataset.path} has no questions that were judged; quality cannot be told from it.")
    step = max(1, len(questions) // max_queries)
    questions = questions[::step][:max_queries]
    documents = dataset.documents()
    if size is not None:
        documents = _some(dataset, {key for question in questions for key in question.grades}, size)
    return Judged({document.id: document.whole for document in documents}, questions)


def _some(dataset: Dataset, needed: set[str], size: int) -> Iterator[Document]:
    if size < len(needed):
        raise ConfigError(f"sizes has {size:,}, but {len(needed):,} documents answer questions; give that or more.")
    good = (document for document in dataset.documents() if document.id in needed)
    others = (document for document in dataset.documents() if document.id not in needed)
    return chain(good, islice(others, size - len(needed)))
