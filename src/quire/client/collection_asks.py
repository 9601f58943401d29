"""What is asked of a server's collections; the same builder of requests as `asks`."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from quire.client.asks import Ask, Operation, given

FilePath = str | os.PathLike[str]

COLLECTION = "/v1/collections/{collection}"
LIST = Operation("GET", "/v1/collections")
CREATE = Operation("POST", "/v1/collections")
SHOW = Operation("GET", COLLECTION)
DELETE = Operation("DELETE", COLLECTION)
SEARCH = Operation("POST", f"{COLLECTION}/search", "Search")
UPSERT = Operation("POST", f"{COLLECTION}/documents", "Upsert")
UPLOAD = Operation("PUT", f"{COLLECTION}/documents/{{document_id}}")
DOCUMENTS = Operation("GET", f"{COLLECTION}/documents?limit={{limit}}&after={{after}}")
DOCUMENT = Operation("GET", f"{COLLECTION}/documents/{{document_id}}")
DELETE_DOCUMENTS = Operation("POST", f"{COLLECTION}/documents/delete")


class NewCollectionOptions(TypedDict, total=False):
    vectors: Literal["embedder", "own", "none"]
    """Where they come from. Not given: embedder, where the server has one."""
    dim: int
    """Of one's own."""
    language: str


class SearchOptions(TypedDict, total=False):
    k: int
    mode: Literal["hybrid", "dense", "lexical"]
    filter: Mapping[str, Any]
    fusion: Literal["rrf", "weighted", "dbsf"]
    vector: Sequence[float]


class NewDocument(TypedDict, total=False):
    id: Required[str]
    text: Required[str]
    metadata: Mapping[str, Any] | None
    kind: Literal["text", "markdown", "html"]
    vector: Sequence[float]


def create(name: str, options: NewCollectionOptions) -> Ask:
    return Ask(CREATE, {"name": name, **given(**options)})


def delete(name: str) -> Ask:
    return Ask(DELETE, names={"collection": name})


def show(name: str) -> Ask:
    return Ask(SHOW, names={"collection": name})


def search(name: str, query: str, options: SearchOptions) -> Ask:
    return Ask(SEARCH, _with_numbers({"query": query, **given(**options)}), {"collection": name})


def upsert(name: str, documents: Iterable[NewDocument]) -> Ask:
    body = {"documents": [_with_numbers(given(**document)) for document in documents]}
    return Ask(UPSERT, body, {"collection": name})


def upload(name: str, document_id: str, content: bytes) -> Ask:
    return Ask(UPLOAD, names={"collection": name, "document_id": document_id}, content=content)


def documents(name: str, limit: int, after: int) -> Ask:
    return Ask(DOCUMENTS, names={"collection": name, "limit": str(limit), "after": str(after)})


def document(name: str, document_id: str) -> Ask:
    return Ask(DOCUMENT, names={"collection": name, "document_id": document_id})


def delete_documents(name: str, ids: Iterable[str]) -> Ask:
    return Ask(DELETE_DOCUMENTS, {"ids": [*ids]}, {"collection": name})


def _with_numbers(body: dict[str, Any]) -> dict[str, Any]:
    """Also of an array."""
    return {**body, "vector": [float(number) for number in body["vector"]]} if "vector" in body else body
