"""What is asked of the served collections over HTTP, and how they answer."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from typing_extensions import TypedDict

from quire.errors import InvalidRequestError
from quire.protocol.fields import Body

MAX_HITS = 1000
MAX_DOCUMENTS = 1000
"""Of one request."""
MAX_LISTED = 1000
MAX_ID_LENGTH = 1024
MAX_DIM = 65_536
NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"
"""Of a collection that is made over the network: a folder's, wherever it is copied to."""

DocumentId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH)]
Vectors = Literal["embedder", "own", "none"]


class CollectionRequest(Body):
    """A collection to be made."""

    name: Annotated[str, Field(pattern=NAME, description="1 to 100 letters, digits, _ . and -, no . or - first.")]
    vectors: Vectors | None = None
    """embedder: the server makes them; own: documents and queries bring them, `dim` numbers each; none: searched by
    words only. Default: embedder where the server has one, else none."""
    dim: Annotated[int, Field(ge=1, le=MAX_DIM)] | None = None
    language: Annotated[str, Field(max_length=32)] = "english"
    """Of the words' stems; none: words stay as they are."""

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if (self.vectors == "own") != (self.dim is not None):
            raise InvalidRequestError('dim goes with vectors "own", and they need it.', param="dim")
        return self


class DocumentBody(Body):
    id: DocumentId
    text: str
    metadata: dict[str, Any] | None = None
    kind: Literal["text", "markdown", "html"] = "text"
    """What the text is written in; it is cut accordingly."""
    vector: Annotated[list[float], Field(min_length=1, max_length=MAX_DIM)] | None = None
    """Of one's own; the document is then one passage."""


class UpsertRequest(Body):
    documents: Annotated[list[DocumentBody], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    """Each is added, or put in place of the one with its id."""


class DeleteDocumentsRequest(Body):
    ids: Annotated[list[DocumentId], Field(min_length=1, max_length=MAX_DOCUMENTS)]


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
    vector: Annotated[list[float], Field(min_length=1, max_length=MAX_DIM)] | None = None
    """Of the query, where the collection's are the callers' own."""


class CollectionInfo(TypedDict):
    name: str
    object: Literal["collection"]
    num_documents: int
    num_chunks: int
    version: int
    """Grows with every change."""
    dim: int | None
    """Of the vectors; null where there are none."""
    vectors: Vectors | None
    """Where they come from; null: the first documents will settle it."""
    disk_bytes: int


class CollectionList(TypedDict):
    object: Literal["list"]
    data: list[CollectionInfo]


class DeletedCollection(TypedDict):
    name: str
    object: Literal["collection.deleted"]
    deleted: bool


class WrittenDocuments(TypedDict):
    """What became of the documents; when it is told, it is on the disk."""

    num_added: int
    num_updated: int
    num_unchanged: int
    num_chunks: int
    """Passages that were new, and so were indexed."""
    version: int
    """Of the collection, at least that of this change."""


class DeletedDocuments(TypedDict):
    num_deleted: int
    """So many of them were there."""
    version: int


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


class DocumentInfo(TypedDict):
    id: str
    kind: str
    metadata: dict[str, Any]
    num_chars: int
    """Of its text."""


class DocumentList(TypedDict):
    object: Literal["list"]
    data: list[DocumentInfo]
    next: int | None
    """The `after` that gives what follows; null: nothing does."""


class DocumentAnswer(TypedDict):
    id: str
    text: str
    kind: str
    metadata: dict[str, Any]
