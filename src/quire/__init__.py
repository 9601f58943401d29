"""Quire: an LLM serving engine with a library in it.

Names are resolved when first used, so that `import quire` costs nothing and what needs no torch never loads it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from quire.client import AsyncClient as AsyncClient
    from quire.client import Client as Client
    from quire.client import RetryPolicy as RetryPolicy
    from quire.errors import QuireError as QuireError
    from quire.errors import ServerError as ServerError
    from quire.errors import ServerUnreachableError as ServerUnreachableError
    from quire.llm import LLM as LLM
    from quire.retrieval.analyzer import Analyzer as Analyzer
    from quire.retrieval.chunking import Chunker as Chunker
    from quire.retrieval.collection import Collection as Collection
    from quire.retrieval.count_min import CountMinSketch as CountMinSketch
    from quire.retrieval.hnsw import HNSW as HNSW
    from quire.retrieval.inverted_index import InvertedIndex as InvertedIndex
    from quire.retrieval.neural.embedder import Embedder as Embedder
    from quire.retrieval.neural.reranker import Reranker as Reranker
    from quire.retrieval.pipeline import RetrievalPipeline as RetrievalPipeline
    from quire.sampling_params import SamplingParams as SamplingParams
    from quire.sampling_params import StructuredOutputs as StructuredOutputs

_HOMES = {
    "Analyzer": "quire.retrieval.analyzer",
    "AsyncClient": "quire.client",
    "Chunker": "quire.retrieval.chunking",
    "Client": "quire.client",
    "Collection": "quire.retrieval.collection",
    "CountMinSketch": "quire.retrieval.count_min",
    "Embedder": "quire.retrieval.neural.embedder",
    "HNSW": "quire.retrieval.hnsw",
    "InvertedIndex": "quire.retrieval.inverted_index",
    "LLM": "quire.llm",
    "QuireError": "quire.errors",
    "RetrievalPipeline": "quire.retrieval.pipeline",
    "Reranker": "quire.retrieval.neural.reranker",
    "RetryPolicy": "quire.client",
    "SamplingParams": "quire.sampling_params",
    "ServerError": "quire.errors",
    "ServerUnreachableError": "quire.errors",
    "StructuredOutputs": "quire.sampling_params",
}

__all__ = [
    "HNSW",
    "LLM",
    "Analyzer",
    "AsyncClient",
    "Chunker",
    "Client",
    "Collection",
    "CountMinSketch",
    "Embedder",
    "InvertedIndex",
    "QuireError",
    "Reranker",
    "RetrievalPipeline",
    "RetryPolicy",
    "SamplingParams",
    "ServerError",
    "ServerUnreachableError",
    "StructuredOutputs",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'quire' has no attribute {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
