"""Word search: queries a second of ten results, one thread, and build time, beside bm25s and tantivy.

Every side gets the same terms, made beforehand by our analyzer, with k1 1.2 and b 0.75, which tantivy always has: bm25s
as lists, tantivy and we as texts with a space between terms, split there and left as they are. A stem that no text can
say ("ok'" of "OK'ed") is cut to what one can ("ok"). Cases:
build, search, and add: one document at a time to the whole index, ours alone (`found_at_once` is the share of them that
a search found directly afterwards; the others build first and search then). bm25s takes all queries in one call, the
others one at a time. `differs_by` is the greatest distance of any of the ten scores from ours; tantivy rounds lengths.

`data` (or QUIRE_DATA) is a dataset, PATH or PATH:format; without one, words drawn from a Zipf distribution take its
place. Queries are its questions, or four words of a document. `sizes` are its first so many documents, each measured.
"""

from abc import ABC, abstractmethod
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from random import Random
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from quire.bench.datasets import open_dataset
from quire.bench.harness import Case, Measurement, Param
from quire.bench.search.asked import given_place, sizes_within
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.inverted_index import InvertedIndex

K, K1, B = 10, 1.2, 0.75
WORDS_PER_QUERY = 4
Terms: TypeAlias = list[str]
Scores: TypeAlias = npt.NDArray[np.float32]


def cases(
    *,
    data: str = "",
    sizes: tuple[int, ...] = (200_000,),
    num_queries: int = 1_000,
    num_adds: int = 10_000,
    quick: bool = False,
) -> list[Case]:
    counts = (1_000,) if quick else sizes
    documents, queries = _corpus(given_place(data), max(counts), 50 if quick else num_queries)
    return [
        case
        for count in sizes_within(counts, len(documents))
        for case in _cases_of(documents[:count], queries, 100 if quick else num_adds)
    ]


def _cases_of(documents: list[Terms], queries: list[Terms], num_adds: int) -> list[Case]:
    sides = [side(documents, queries) for side in (Quire, Bm25s, Tantivy) if find_spec(side.package)]
    ours = sides[0]
    params: dict[str, Param] = {"documents": len(documents), "queries": len(queries)}
    found = [Case("build", side.time_build, params, side.name) for side in sides]
    found += [Case("search", partial(side.time_search, ours), params, side.name, side.drop) for side in sides]
    adder = Adder(documents, num_adds)
    params = {"documents": len(documents), "adds": adder.num_adds}
    return [*found, Case("add", adder.time_adds, params, ours.name, adder.drop)]


def _corpus(place: str, limit: int, num_queries: int) -> tuple[list[Terms], list[Terms]]:
    if not place:
        documents = _zipf(limit)
        return documents, _queries(documents, num_queries)
    dataset = open_dataset(place)
    stemmed, split = InvertedIndex().terms, InvertedIndex(analyzer=Analyzer(None)).terms

    def terms(text: str) -> Terms:
        return list(split(" ".join(stemmed(text))))

    documents = [terms(document.whole) for document in islice(dataset.documents(), limit)]
    asked = [terms(question.text) for question in islice(dataset.questions(), num_queries)]
    return documents, asked or _queries(documents, num_queries)


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

    @cached_property
    def texts(self) -> list[str]:
        return [" ".join(document) for document in self.documents]

    @property
    def index(self) -> Any:
        if self._index is None:
            self._index = self.build()
        return self._index

    def drop(self) -> None:
        self._index = None

    @abstractmethod
    def build(self) -> Any: ...

    @abstractmethod
    def top_scores(self, index: Any) -> Scores:
        """Answers every query: [n, K], best first, zeros where fewer are found."""

    def sizes(self) -> dict[str, float]:
        return {}

    def time_build(self) -> Measurement:
        self._index = None
        assert self.texts is not None  # made before the clock starts
        start = perf_counter()
        self._index = self.build()
        return Measurement({"build_s": perf_counter() - start, **self.sizes()})

    def time_search(self, ours: "Side") -> Measurement:
        # Not timed: what is compiled when it is first used is compiled now.
        differs_by = float(np.abs(self.top_scores(self.index) - ours.top_scores(ours.index)).max())
        start = perf_counter()
        self.top_scores(self.index)
        elapsed = perf_counter() - start
        return Measurement({"queries_per_s": len(self.queries) / elapsed, "differs_by": differs_by})


def _padded(scores: list[Any]) -> Scores:
    rows = np.zeros((len(scores), K), dtype=np.float32)
    for row, some in zip(rows, scores, strict=True):
        row[: len(some)] = some
    return rows


class Quire(Side):
    name, package = "quire", "quire"

    def build(self) -> InvertedIndex:
        index = InvertedIndex(k1=K1, b=B, analyzer=Analyzer(None))
        index.add(np.arange(len(self.texts)), self.texts)
        return index

    def sizes(self) -> dict[str, float]:
        stats = self.index.stats()
        return {"ram_mb": stats.ram_bytes / 1e6, "bytes_per_posting": stats.posting_bytes / stats.num_postings}

    def top_scores(self, index: InvertedIndex) -> Scores:
        return _padded([index.search(query, K)[1] for query in self.queries])


class Bm25s(Side):
    name, package = "bm25s", "bm25s"

    def build(self) -> Any:
        backend = "numba" if find_spec("numba") else "numpy"
        index = import_module(self.package).BM25(k1=K1, b=B, method="lucene", backend=backend)
        index.index(self.documents, show_progress=False)
        return index

    def top_scores(self, index: Any) -> Scores:
        _, scores = index.retrieve(self.queries, k=K, show_progress=False, n_threads=1)
        return np.asarray(scores, dtype=np.float32)


class Tantivy(Side):
    name, package = "tantivy", "tantivy"

    def build(self) -> Any:
        tantivy = import_module(self.package)
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("text", stored=False, tokenizer_name="whitespace", index_option="freq")
        self.schema = builder.build()
        index = tantivy.Index(self.schema)
        writer = index.writer(num_threads=1)
        for text in self.texts:
            writer.add_document(tantivy.Document(text=text))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        return index

    def top_scores(self, index: Any) -> Scores:
        tantivy = import_module(self.package)
        searcher, should = index.searcher(), tantivy.Occur.Should
        scores = []
        for terms in self.queries:
            parts = [(should, tantivy.Query.term_query(self.schema, "text", term, "freq")) for term in terms]
            hits = searcher.search(tantivy.Query.boolean_query(parts), K, count=False).hits
            scores.append([score / (K1 + 1) for score, _ in hits])  # a constant factor that the others leave out
        return _padded(scores)


class Adder:
    """Adds documents one by one to an index of all of them, and takes them out again."""

    def __init__(self, documents: list[Terms], num_adds: int) -> None:
        self.documents, self.num_adds = documents, min(num_adds, len(documents))

    @cached_property
    def index(self) -> InvertedIndex:
        return Quire(self.documents, []).build()

    def drop(self) -> None:
        self.__dict__.pop("index", None)

    def time_adds(self) -> Measurement:
        first, elapsed, found = len(self.documents), 0.0, []
        assert len(self.index) == first
        for i, document in enumerate(self.documents[: self.num_adds]):
            start = perf_counter()
            self.index.add([first + i], [document])
            elapsed += perf_counter() - start
            if i % 100 == 0 and document:
                found.append(self.index.search(document, K, filter=[first + i])[0].size)
        self.index.delete(range(first, first + self.num_adds))
        self.index.compact()
        return Measurement({"adds_per_s": self.num_adds / elapsed, "found_at_once": float(np.mean(found))})
