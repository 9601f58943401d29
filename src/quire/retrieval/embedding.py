"""What a collection asks of the parts that are given to it: cut a document into chunks, make vectors, judge passages.

Interfaces only; whoever implements them knows nothing of collections. All of them may be called from many threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document: `text` is what is indexed, [start, end) where it lies in the document's text."""

    id: str
    """Depends on the document's id and on what the chunk says, so that an unchanged passage keeps it."""
    text: str
    start: int
    end: int
    heading: str | None = None


class Chunker(Protocol):
    @property
    def fingerprint(self) -> str:
        """Differs where the same document would be cut differently."""
        ...

    def split(self, document_id: str, text: str, kind: str = "text") -> list[Chunk]:
        """The chunks in their order, each id once; none for a text without words. kind: text, markdown or html."""
        ...


class Embedder(Protocol):
    @property
    def dim(self) -> int: ...

    @property
    def fingerprint(self) -> str:
        """Differs where the same text would get another vector: model, weights, pooling, prefixes, dimension."""
        ...

    def embed_documents(self, texts: list[str]) -> Vectors:
        """[len(texts), dim], one vector per passage, in their order."""
        ...

    def embed_queries(self, texts: list[str]) -> Vectors:
        """[len(texts), dim]; differs from `embed_documents` where the model has prefixes for the two."""
        ...


class Reranker(Protocol):
    def score(self, query: str, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[len(texts)]: how well each passage answers the query, higher is better."""
        ...
