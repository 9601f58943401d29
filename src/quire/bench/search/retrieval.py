"""Collections end to end: hybrid search with the query embedded inside, and what indexing costs besides embedding.

Case search: one question after the other from Python; each question's milliseconds, and those of each stage.
Case ingest: documents with vectors that are there already, so all that is measured is what is not the embedder's:
checks, passages, words, the graph, and the disk. embed_per_s is how many of the same texts the embedder makes vectors
of, other_share what would be left for everything else.

`data` (or QUIRE_DATA) is a folder with passages.jsonl.gz, minilm_100k_f16.npy and sentence_questions.jsonl.gz; it has
to be given. The passages and the vectors are not of the same texts: search times do not depend on that.
"""

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from quire.bench.harness import Case, Measurement
from quire.errors import ConfigError
from quire.retrieval.collection import Collection
from quire.retrieval.embedding import Embedder
from quire.retrieval.neural.embedder import Embedder as NeuralEmbedder
from quire.retrieval.pipeline import RetrievalPipeline

BATCH = 4096
STAGES = ("embed", "lexical", "dense", "fuse", "fetch")


def cases(
    *, data: str = "", num_chunks: int = 100_000, num_queries: int = 500, num_embedded: int = 128, k: int = 10
) -> list[Case]:
    folder = Path(data or os.environ.get("QUIRE_DATA", ""))
    if not (folder / "passages.jsonl.gz").exists():
        raise ConfigError(f"{str(folder)!r} has no passages.jsonl.gz; give --data the folder of the passages")
    bench = _Bench(folder, num_chunks, num_queries, num_embedded, k)
    params = {"chunks": num_chunks}
    return [
        Case("ingest", bench.ingest, params),
        Case("search", bench.search, {**params, "queries": num_queries, "k": k}, close=bench.close),
    ]


class _Bench:
    """Indexes once: ingest takes minutes, so its further repetitions tell what the first one found."""

    def __init__(self, folder: Path, num_chunks: int, num_queries: int, num_embedded: int, k: int) -> None:
        self._folder, self._num_chunks, self._num_embedded, self._k = folder, num_chunks, num_embedded, k
        self._questions = [line["question"] for line in _lines(folder / "sentence_questions.jsonl.gz", num_queries)]
        self._place = tempfile.mkdtemp(prefix="quire-bench-")
        self._embedder: Embedder = NeuralEmbedder()
        self._collection: Collection | None = None
        self._ingested = Measurement({})

    def ingest(self) -> Measurement:
        if self._collection is None:
            self._collection = Collection.open(Path(self._place), embedder=self._embedder)
            texts = [line["text"] for line in _lines(self._folder / "passages.jsonl.gz", self._num_chunks)]
            others_s = self._index(self._collection, texts) / len(texts)
            embed_s = self._embed(texts[: self._num_embedded]) / self._num_embedded
            rates = {"index_per_s": 1 / others_s, "embed_per_s": 1 / embed_s}
            self._ingested = Measurement({**rates, "other_share": others_s / (others_s + embed_s)})
        return self._ingested

    def search(self) -> Measurement:
        self.ingest()
        assert self._collection is not None
        pipeline = RetrievalPipeline(self._collection, k=self._k, cache_tokens=0)
        found = [pipeline.retrieve(question).timings_ms for question in self._questions]
        samples = {f"{stage}_ms": [timings[stage] for timings in found] for stage in STAGES}
        total_ms = [timings["total"] for timings in found]
        return Measurement({"query_ms": float(np.mean(total_ms))}, {"total_ms": total_ms, **samples})

    def close(self) -> None:
        if self._collection is not None:
            self._collection.close()
        shutil.rmtree(self._place)

    def _index(self, collection: Collection, texts: list[str]) -> float:
        vectors = np.load(self._folder / "minilm_100k_f16.npy", mmap_mode="r")
        begin = perf_counter()
        for start in range(0, len(texts), BATCH):
            part = enumerate(texts[start : start + BATCH], start)
            collection.add(
                [{"id": str(i), "text": text, "vector": vectors[i % len(vectors)]} for i, text in part], progress=False
            )
        return perf_counter() - begin

    def _embed(self, texts: list[str]) -> float:
        self._embedder.embed_documents(texts[:8])
        begin = perf_counter()
        self._embedder.embed_documents(texts)
        return perf_counter() - begin


def _lines(path: Path, limit: int) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, islice(lines, limit))
