"""What /v1/rerank is asked and answers, as Jina, Cohere and vLLM have it."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from quire.protocol.fields import MAX_TEXT_LIST, Body, Label


class RerankDocument(Body):
    text: str


class RerankRequest(Body):
    unsupported: ClassVar[Mapping[str, str]] = {
        "truncate_prompt_tokens": "what is longer than the model reads is cut.",
        "max_tokens_per_doc": "what is longer than the model reads is cut.",
        "max_chunks_per_doc": "a document is judged as one; cut it before.",
        "rank_fields": "a document is its text.",
        "priority": "texts to be judged are served as they come.",
    }

    model: Label | None = None
    query: str
    documents: Annotated[
        list[str | RerankDocument],
        Field(
            min_length=1,
            max_length=MAX_TEXT_LIST,
            description=f"a list of 1 to {MAX_TEXT_LIST} texts, or of objects with a text.",
        ),
    ]
    top_n: Annotated[int, Field(ge=1)] | None = None
    """Results at most, best first. Default: all."""
    return_documents: bool = True
    user: Label | None = None

    @property
    def texts(self) -> list[str]:
        return [document if isinstance(document, str) else document.text for document in self.documents]


class RankedDocument(TypedDict):
    text: str


class RerankResult(TypedDict):
    index: int
    """Where in the list of documents it was."""
    relevance_score: float
    """0 to 1, higher is better."""
    document: NotRequired[RankedDocument]


class RerankUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int


class RerankAnswer(TypedDict):
    id: str
    model: str
    usage: RerankUsage
    results: list[RerankResult]
