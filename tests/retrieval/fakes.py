"""Stand-ins for the parts that are given to a collection: small, exact, and without torch."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from quire.retrieval.embedding import Chunk


class HashedWords:
    """An embedder: each word has a random direction of its own, a text the sum of its words."""

    def __init__(self, dim: int = 32, name: str = "hashed words") -> None:
        self.dim = dim
        self.fingerprint = f"{name} {dim}"
        self.num_documents = 0

    def embed_documents(self, texts: list[str]) -> np.ndarray:
        self.num_documents += len(texts)
        return self.embed_queries(texts)

    def embed_queries(self, texts: list[str]) -> np.ndarray:
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> np.ndarray:
        vector = self._direction("")
        for word in re.findall(r"\w+", text.lower()):
            vector = vector + self._direction(word)
        return (vector / np.linalg.norm(vector)).astype(np.float32)

    def _direction(self, word: str) -> np.ndarray:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        return np.random.default_rng(seed).normal(size=self.dim)


class Lines:
    """A chunker: every line that says something is a chunk."""

    fingerprint = "lines"

    def split(self, document_id: str, text: str, kind: str = "text") -> list[Chunk]:
        chunks, begin, seen = [], 0, {}
        for line in text.split("\n"):
            if line.strip():
                number = seen[line] = seen.get(line, -1) + 1
                says = hashlib.sha256(f"{number} {line}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
                chunks.append(Chunk(f"{document_id}#{says}", line, begin, begin + len(line)))
            begin += len(line) + 1
        return chunks


class CountsLetters:
    """A reranker: the more often the query's first letter occurs, the better."""

    def score(self, query: str, texts: Sequence[str]) -> np.ndarray:
        return np.array([text.count(query[0]) for text in texts], dtype=np.float32)
