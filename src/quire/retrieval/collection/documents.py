"""A document as callers give it, checked; and what stands for its content, so that nothing is done twice."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict

import numpy as np
import numpy.typing as npt

from quire.errors import InvalidRequestError, shown
from quire.retrieval.embedding import Vectors
from quire.retrieval.store.tables.fields import checked_metadata
from quire.retrieval.store.tables.rows import document_digest

MAX_ID_LENGTH = 1024
MAX_TEXT_LENGTH = 2**28
KINDS = ("text", "markdown", "html")


class Document(TypedDict, total=False):
    id: Required[str]
    text: Required[str]
    metadata: dict[str, Any] | None
    kind: str
    """What the text is written in: text, markdown or html. The chunker cuts accordingly."""
    vector: npt.ArrayLike
    """Of one's own; the document is then one chunk."""


@dataclass(frozen=True, slots=True)
class CheckedDocument:
    id: str
    text: str
    kind: str
    metadata: str
    """As JSON."""
    vector: Vectors | None

    @property
    def digest(self) -> bytes:
        return document_digest(self.text, self.kind, self.metadata)


def checked_documents(documents: Iterable[Document]) -> list[CheckedDocument]:
    """All of them, or InvalidRequestError for the first that cannot be kept, or for an id that comes twice."""
    if isinstance(documents, str | bytes | dict):
        raise InvalidRequestError(f"documents is {shown(documents)}; give a list of documents", param="documents")
    checked = [_checked(document) for document in documents]
    seen: set[str] = set()
    for document in checked:
        if document.id in seen:
            raise InvalidRequestError(f"id {shown(document.id)} is given twice; give each id once", param="id")
        seen.add(document.id)
    return checked


def checked_ids(ids: Iterable[str]) -> list[str]:
    if isinstance(ids, str | bytes):
        raise InvalidRequestError(f"ids is the single text {shown(ids)}; give a list of ids", param="ids")
    return list(dict.fromkeys(_checked_id(given) for given in ids))


def unit_vector(vector: npt.ArrayLike, what: str) -> Vectors:
    """The direction of one vector. Raises InvalidRequestError where it has none."""
    try:
        row = np.asarray(vector, dtype=np.float32)
    except (TypeError, ValueError):
        row = np.empty(0, dtype=np.float32)
    if row.ndim != 1 or row.size == 0:
        raise InvalidRequestError(f"{what} is {shown(vector)}; allowed: a list of numbers", param="vector")
    direction: Vectors = unit_vectors(row[None], [what])[0]
    return direction


def unit_vectors(vectors: npt.NDArray[Any], names: Sequence[str]) -> Vectors:
    """Of length 1, row by row: cosine similarity is not defined for a vector of zeros or one that is not finite."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
    if bad.size:
        why = "all zeros" if norms[bad[0]] == 0 else "not finite"
        raise InvalidRequestError(
            f"{names[bad[0]]} is {why}; allowed: finite numbers that are not all zero", param="vector"
        )
    return np.ascontiguousarray(vectors / norms, dtype=np.float32)


def checked_text(text: Any, what: str) -> str:
    if not isinstance(text, str):
        raise InvalidRequestError(f"{what} is {shown(text)}; allowed: a str", param="text")
    if len(text) > MAX_TEXT_LENGTH:
        raise InvalidRequestError(
            f"{what} has {len(text):,} characters; allowed: up to {MAX_TEXT_LENGTH:,}", param="text"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{what} has {text[error.start]!r} at {error.start}, half of a character; decode its bytes with "
            "errors='replace'",
            param="text",
        ) from None
    return text


def _checked(document: Document) -> CheckedDocument:
    if not isinstance(document, dict) or not {"id", "text"} <= document.keys():
        raise InvalidRequestError(
            f"a document is {shown(document)}; allowed: a dict with id and text", param="documents"
        )
    unknown = [name for name in document if name not in Document.__annotations__]
    if unknown:
        raise InvalidRequestError(
            f"a document has {shown(unknown[0])}; allowed: {', '.join(Document.__annotations__)}; "
            "what is one's own belongs into metadata",
            param="documents",
        )
    document_id = _checked_id(document["id"])
    kind = document.get("kind", "text")
    if kind not in KINDS:
        raise InvalidRequestError(f"kind is {shown(kind)}; allowed: {', '.join(KINDS)}", param="kind")
    vector = document.get("vector")
    return CheckedDocument(
        document_id,
        checked_text(document["text"], f"text of document {shown(document_id)}"),
        kind,
        checked_metadata(document.get("metadata") or {}, document_id),
        None if vector is None else unit_vector(vector, f"vector of document {shown(document_id)}"),
    )


def _checked_id(given: Any) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID_LENGTH:
        raise InvalidRequestError(
            f"an id is {shown(given)}; allowed: a str of 1 to {MAX_ID_LENGTH} characters", param="id"
        )
    return checked_text(given, "an id")
