"""Vectors to search among, and what recall is: from files, of a dataset's texts, or drawn.

Knows no index.
"""

from dataclasses import dataclass, field
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
    _tenths: dict[bytes, Array] = field(default_factory=dict)
    """By the flags: how near the tenth nearest is, which takes longer than any search."""

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
        key = b"" if flags is None else flags.tobytes()
        if key not in self._tenths:
            self._tenths[key] = self._tenth(flags)
        similarities = np.einsum("qd,qkd->qk", self.queries, self.vectors[found])
        return float((similarities >= self._tenths[key][:, None] - 1e-6).mean())

    def _tenth(self, flags: Flags | None) -> Array:
        similarities = self.queries @ self.vectors.T
        if flags is not None:
            similarities[:, ~flags] = -2
        tenth: Array = -np.partition(-similarities, K - 1, axis=1)[:, K - 1]
        return tenth


def clustered(count: int, dim: int) -> Array:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, dim))
    return (centres[rng.integers(0, 1000, count)] + 0.8 * rng.normal(size=(count, dim))).astype(np.float32)


def unit(vectors: npt.NDArray[Any]) -> Array:
    rows = np.array(vectors, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
