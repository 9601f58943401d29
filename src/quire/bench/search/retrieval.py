"""Collections end to end: hybrid search with the query embedded inside, and what indexing costs besides embedding.

Case search: one question after the other from Python; each question's milliseconds, and those of each stage. `tail`
explains the slowest; words are looked up while the question is embedded, so stages may overlap.
Case ingest: all but the last `num_embedded` documents come with vectors, so index_per_s is what is not the embedder of
them: checks, words, the graph, and the disk. The last ones come as texts, as users bring them: ingest_per_s of them are
cut, embedded, indexed and on the disk; the embedder alone makes vectors of embed_per_s in that, and other_share of the
time is not its own.

`data` (or QUIRE_DATA) is a dataset, PATH or PATH:format; it has to be given. `sizes` are its first so many documents,
each measured. What is asked are its questions, those of a sentence_questions.jsonl.gz in its folder, or the beginnings
of its texts. Vectors are those of a minilm_100k_f16.npy in its folder, or clustered random ones: not those of the
texts, on which the time of a search does not depend.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np

from quire.bench.datasets import Dataset, files
from quire.bench.harness import Case, Measurement, Param
from quire.bench.machine.pauses import Pauses
from quire.bench.search.asked import given_dataset, questions_for, sizes_within
from quire.bench.search.vectors import FILES, Array, clustered, unit
from quire.bench.tail import Event
from quire.retrieval.collection import Collection
from quire.retrieval.embedding import Embedder
from quire.retrieval.neural.embedder import Embedder as NeuralEmbedder
from quire.retrieval.pipeline import RetrievalPipeline

BATCH = 4096
STAGES = ("embed", "lexical", "dense", "fuse", "fetch")


def cases(
    *,
    data: str = "",
    sizes: tuple[int, ...] = (100_000,),
    num_queries: int = 500,
    num_embedded: int = 1_000,
    k: int = 10,
    tail: bool = False,
) -> list[Case]:
    dataset = given_dataset(data)
    available = sum(1 for _ in islice(dataset.documents(), max(sizes)))
    found = []
    for size in sizes_within(sizes, available):
        bench = _Bench(dataset, size, num_queries, num_embedded, k, is_recorded=tail)
        params: dict[str, Param] = {"chunks": size}
        found.append(Case("ingest", bench.ingest, params))
        found.append(Case("search", bench.search, {**params, "queries": num_queries, "k": k}, close=bench.close))
    return found


class _Bench:
    """Indexes once: ingest takes minutes, so its further repetitions tell what the first one found."""

    def __init__(
        self, dataset: Dataset, num_chunks: int, num_queries: int, num_embedded: int, k: int, *, is_recorded: bool
    ) -> None:
        self._dataset, self._num_chunks, self._num_queries = dataset, num_chunks, num_queries
        self._num_embedded, self._k, self._is_recorded = num_embedded, k, is_recorded
        self._questions: list[str] = []
        self._place = ""
        self._embedder = TimedEmbedder(NeuralEmbedder())
        self._collection: Collection | None = None
        self._ingested = Measurement({})

    def ingest(self) -> Measurement:
        if self._collection is None:
            self._place = tempfile.mkdtemp(prefix="quire-bench-")
            self._collection = Collection.open(Path(self._place), embedder=self._embedder)
            texts = [document.whole for document in islice(self._dataset.documents(), self._num_chunks)]
            self._questions = _questions(self._dataset, texts, self._num_queries)
            num_filled = len(texts) - min(self._num_embedded, len(texts) // 2)
            index_s = self._fill(self._collection, texts[:num_filled])
            embedded = texts[num_filled:]
            total_s, embed_s = self._ingest(self._collection, embedded, num_filled)
            self._ingested = Measurement(
                {
                    "index_per_s": num_filled / index_s,
                    "ingest_per_s": len(embedded) / total_s,
                    "embed_per_s": len(embedded) / embed_s,
                    "other_share": 1 - embed_s / total_s,
                }
            )
        return self._ingested

    def search(self) -> Measurement:
        self.ingest()
        assert self._collection is not None
        pipeline = RetrievalPipeline(self._collection, k=self._k, cache_tokens=0)
        found = list(searches(pipeline, self._questions, is_recorded=self._is_recorded))
        samples = {f"{stage}_ms": [event.stages_ms[stage] for event in found] for stage in STAGES}
        total_ms = [event.total_ms for event in found]
        values = {"query_ms": float(np.mean(total_ms))}
        return Measurement(values, {"total_ms": total_ms, **samples}, found if self._is_recorded else (), "searches")

    def close(self) -> None:
        if self._collection is not None:
            self._collection.close()
            self._collection = None
            shutil.rmtree(self._place)

    def _fill(self, collection: Collection, texts: list[str]) -> float:
        vectors = _vectors(self._dataset, len(texts), self._embedder.dim)
        begin = perf_counter()
        for start in range(0, len(texts), BATCH):
            part = enumerate(texts[start : start + BATCH], start)
            collection.add(
                [{"id": str(i), "text": text, "vector": vectors[i % len(vectors)]} for i, text in part], progress=False
            )
        return perf_counter() - begin

    def _ingest(self, collection: Collection, texts: list[str], first: int) -> tuple[float, float]:
        """How long it took, and how long of that the embedder."""
        self._embedder.embed_documents(texts[:8])
        self._embedder.spent_s = 0.0
        begin = perf_counter()
        collection.add([{"id": str(i), "text": text} for i, text in enumerate(texts, first)], progress=False)
        return perf_counter() - begin, self._embedder.spent_s


class TimedEmbedder:
    """Another one, and how long it was asked for vectors of documents."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.dim, self.fingerprint = embedder.dim, embedder.fingerprint
        self.spent_s = 0.0

    def embed_documents(self, texts: list[str]) -> Array:
        begin = perf_counter()
        vectors = self._embedder.embed_documents(texts)
        self.spent_s += perf_counter() - begin
        return vectors

    def embed_queries(self, texts: list[str]) -> Array:
        return self._embedder.embed_queries(texts)


def searches(pipeline: RetrievalPipeline, questions: list[str], *, is_recorded: bool) -> Iterator[Event]:
    """One after the other, each with its stages; where recorded, with what may have held it up too."""
    with Pauses() if is_recorded else nullcontext() as pauses:
        for question in questions:
            begin = pauses.mark() if pauses is not None else None
            timings = dict(pipeline.retrieve(question).timings_ms)
            held_up = pauses.since(begin) if pauses is not None and begin is not None else {}
            yield Event(timings.pop("total"), timings, held_up | {"words": len(question.split())})


def _questions(dataset: Dataset, texts: list[str], count: int) -> list[str]:
    beside = dataset.path / "sentence_questions.jsonl.gz"
    if not beside.exists():
        return questions_for(dataset, texts, count)
    return [files.text_of(entry, ("question",), beside, i) for i, entry in islice(files.json_objects(beside), count)]


def _vectors(dataset: Dataset, count: int, dim: int) -> Array:
    beside = dataset.path / FILES[0]
    return np.load(beside, mmap_mode="r") if beside.exists() else unit(clustered(count, dim))
