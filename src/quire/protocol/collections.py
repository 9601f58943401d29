"""What is asked of the served collections over HTTP, and how they answer."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from quire.protocol.fields import Body

MAX_HITS = 1000


class SearchRequest(Body):
    query: str
    k: Annotated[int, Field(ge=1, le=MAX_HITS)] = 10
    """Passages at most, best first."""
    mode: Literal["hybrid", "dense", "lexical"] | None = None
    """Default: hybrid where the collection has vectors."""
    filter: dict[str, Any] | None = None
    """On metadata: {"lang": "en", "year": {"$gte": 2020}}."""
    fusion: Literal["rrf", "weighted", "dbsf"] = "rrf"
    """How the two rankings of a hybrid search become one."""


class CollectionInfo(TypedDict):
    name: str
    object: Literal["collection"]
    num_documents: int
    num_chunks: int
    version: int
    """Grows with every change."""
    dim: int | None
    """Of the vectors; null where there are none."""
    disk_bytes: int


class CollectionList(TypedDict):
    object: Literal["list"]
    data: list[CollectionInfo]


class HitAnswer(TypedDict):
    document_id: str
    chunk_id: str
    text: str
    score: float
    """Higher is better; what it means depends on mode and fusion."""
    metadata: dict[str, Any]
    start: int
    """Where the passage begins in its document; `end` is where it ends."""
    end: int
    heading: str | None


class SearchAnswer(TypedDict):
    object: Literal["list"]
    data: list[HitAnswer]


class DocumentAnswer(TypedDict):
    id: str
    text: str
    kind: str
    metadata: dict[str, Any]
