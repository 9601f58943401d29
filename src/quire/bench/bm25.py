"""Word search: queries a second of ten results, one thread, and build time, beside bm25s and tantivy.

Every side gets the same terms, made beforehand by our analyzer, with k1 1.2 and b 0.75 (tantivy has no others). Cases:
build, search. bm25s takes all queries in one call, the others one at a time. mean_score is that of the best document,
by which a reader sees that sides did the same work; tantivy rounds lengths.

`data` (or QUIRE_DATA) is a folder with passages.jsonl.gz, an object with a `text` on each line. Without one, words
drawn from a Zipf distribution take their place. A query is four words of a passage.
"""

import gzip
import json
import os
from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np

from quire.bench.harness import Case, Measurement
from quire.retrieval.inverted_index import InvertedIndex

K, K1, B = 10, 1.2, 0.75
WORDS_PER_QUERY = 4
Terms: TypeAlias = list[str]


def cases(*, data: str = "", num_documents: int = 200_000, num_queries: int = 1_000, quick: bool = False) -> list[Case]:
    folder = data or os.environ.get("QUIRE_DATA", "")
    limit = 1_000 if quick else num_documents
    documents = _passages(Path(folder), limit) if folder else _zipf(limit)
    queries = _queries(documents, 50 if quick else num_queries)
    sides = [side(documents, queries) for side in (Quire, Bm25s, Tantivy) if find_spec(side.package)]
    params = {"documents": len(documents), "queries": len(queries)}
    builds = [Case("build", side.time_build, params, side.name) for side in sides]
    return builds + [Case("search", side.time_search, params, side.name) for side in sides]


def _passages(folder: Path, limit: int) -> list[Terms]:
    terms = InvertedIndex().terms
    with gzip.open(folder / "passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [list(terms(json.loads(line)["text"])) for line in islice(lines, limit)]


def _zipf(count: int) -> list[Terms]:
    ranks = np.random.default_rng(0).zipf(1.1, (count, 60)).clip(max=10**6)
    return [[f"w{rank}" for rank in document] for document in ranks]


def _queries(documents: list[Terms], count: int) -> list[Terms]:
    rnd = Random(0)
    sources = [document for document in documents if len(document) >= WORDS_PER_QUERY]
    return [rnd.sample(document, WORDS_PER_QUERY) for document in rnd.choices(sources, k=count)]


class Side(ABC):
    """An index of one library, built when first needed and kept."""

    name: str
    package: str

    def __init__(self, documents: list[Terms], queries: list[Terms]) -> None:
        self.documents, self.queries = documents, queries
        self._index: Any = None

    @abstractmethod
    def build(self) -> Any: ...

    @abstractmethod
    def best_scores(self, index: Any) -> list[float]:
        """Answers every query; of each, the score of the best document."""

    def time_build(self) -> Measurement:
        self._index = None
        start = perf_counter()
        self._index = self.build()
        return Measurement({"build_s": perf_counter() - start})

    def time_search(self) -> Measurement:
        if self._index is None:
            self._index = self.build()
        start = perf_counter()
        scores = self.best_scores(self._index)
        elapsed = perf_counter() - start
        return Measurement({"queries_per_s": len(self.queries) / elapsed, "mean_score": float(np.mean(scores))})


class Quire(Side):
    name, package = "quire", "quire"

    def build(self) -> InvertedIndex:
        index = InvertedIndex(k1=K1, b=B)
        index.add(np.arange(len(self.documents)), self.documents)
        return index

    def best_scores(self, index: InvertedIndex) -> list[float]:
        return [float(index.search(query, K)[1][0]) for query in self.queries]


class Bm25s(Side):
    name, package = "bm25s", "bm25s"

    def build(self) -> Any:
        backend = "numba" if find_spec("numba") else "numpy"
        index = import_module(self.package).BM25(k1=K1, b=B, method="lucene", backend=backend)
        index.index(self.documents, show_progress=False)
        return index

    def best_scores(self, index: Any) -> list[float]:
        _, scores = index.retrieve(self.queries, k=K, show_progress=False, n_threads=1)
        return [float(best) for best in scores[:, 0]]


class Tantivy(Side):
    name, package = "tantivy", "tantivy"

    def build(self) -> Any:
        tantivy = import_module(self.package)
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("text", stored=False, tokenizer_name="whitespace", index_option="freq")
        self.schema = builder.build()
        index = tantivy.Index(self.schema)
        writer = index.writer(num_threads=1)
        for document in self.documents:
            writer.add_document(tantivy.Document(text=" ".join(document)))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        return index

    def best_scores(self, index: Any) -> list[float]:
        tantivy = import_module(self.package)
        searcher, should = index.searcher(), tantivy.Occur.Should
        scores = []
        for terms in self.queries:
            parts = [(should, tantivy.Query.term_query(self.schema, "text", term, "freq")) for term in terms]
            best, _ = searcher.search(tantivy.Query.boolean_query(parts), K, count=False).hits[0]
            scores.append(best / (K1 + 1))  # a constant factor that it keeps and the others leave out
        return scores
