"""Vectors to search among, and what recall is: from files, of a dataset's texts, or drawn.

Knows no index.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quire.bench.datasets import open_dataset
from quire.bench.search.asked import questions_for

K = 10
NUM_QUERIES = 1_000
FILES = ("minilm_100k_f16.npy", "minilm_queries_f16.npy")
Array = npt.NDArray[np.float32]
Found = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Data:
    vectors: Array
    queries: Array

    @classmethod
    def load(cls, place: str, num_vectors: int) -> "Data":
        if not place:
            rows = unit(clustered(num_vectors + NUM_QUERIES, 384))
            return cls(rows[:num_vectors], rows[num_vectors:])
        if all((Path(place) / name).exists() for name in FILES):
            vectors, queries = (unit(np.load(Path(place) / name)) for name in FILES)
            return cls(vectors[:num_vectors], queries)
        return cls._embedded(place, num_vectors)

    @classmethod
    def _embedded(cls, place: str, num_vectors: int) -> "Data":
        from quire.retrieval.neural.embedder import Embedder  # torch, which vectors that are there do not need

        dataset, embedder = open_dataset(place), Embedder()
        texts = [document.whole for document in islice(dataset.documents(), num_vectors)]
        queries = embedder.embed_queries(questions_for(dataset, texts, NUM_QUERIES))
        return cls(unit(embedder.embed_documents(texts)), unit(queries))

    def recall(self, found: Found, flags: Flags | None) -> float:
        similarities = self.queries @ self.vectors.T
        if flags is not None:
            similarities[:, ~flags] = -2
        tenth = -np.partition(-similarities, K - 1, axis=1)[:, K - 1]
        return float((np.take_along_axis(similarities, found, axis=1) >= tenth[:, None] - 1e-6).mean())


def clustered(count: int, dim: int) -> Array:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, dim))
    return (centres[rng.integers(0, 1000, count)] + 0.8 * rng.normal(size=(count, dim))).astype(np.float32)


def unit(vectors: npt.NDArray[Any]) -> Array:
    rows = np.array(vectors, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
