"""/v1/collections: what the served collections hold, and what in them a question is about. Read, not written."""

import asyncio

from fastapi import APIRouter, Request, Response

from quire.errors import shown
from quire.protocol.collections import (
    CollectionInfo,
    CollectionList,
    DocumentAnswer,
    HitAnswer,
    SearchAnswer,
    SearchRequest,
)
from quire.retrieval.collection import Collection, Hit
from quire.server.errors import ApiError
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.state import state_of

router = APIRouter()


@router.get("/v1/collections", **described(None, CollectionList))
async def collections(request: Request) -> Response:
    """Those that were named when the server was started."""
    by_name = state_of(request).collections.by_name
    data = await asyncio.to_thread(lambda: [_info(name, collection) for name, collection in by_name.items()])
    return JsonAnswer({"object": "list", "data": data})


@router.get("/v1/collections/{name}", **described(None, CollectionInfo))
async def collection(request: Request, name: str) -> Response:
    """One of them."""
    found = state_of(request).collections.named(name)
    return JsonAnswer(await asyncio.to_thread(_info, name, found))


@router.post("/v1/collections/{name}/search", **described(SearchRequest, SearchAnswer))
async def search(request: Request, name: str) -> Response:
    """The passages that are about the query, best first."""
    found = state_of(request).collections.named(name)
    body = await read_body(request, SearchRequest)
    hits = await asyncio.to_thread(
        found.search, body.query, body.k, mode=body.mode, filter=body.filter, fusion=body.fusion
    )
    return JsonAnswer({"object": "list", "data": [_hit(hit) for hit in hits]})


@router.get("/v1/collections/{name}/documents/{document_id:path}", **described(None, DocumentAnswer))
async def document(request: Request, name: str, document_id: str) -> Response:
    """A document as it was added."""
    found = await asyncio.to_thread(state_of(request).collections.named(name).get, document_id)
    if found is None:
        message = f"There is no document {shown(document_id)} in {shown(name)}."
        raise ApiError(404, message, param="document_id", code="document_not_found")
    answer: DocumentAnswer = {
        "id": found["id"],
        "text": found["text"],
        "kind": found.get("kind", "text"),
        "metadata": found.get("metadata") or {},
    }
    return JsonAnswer(answer)


def _info(name: str, collection: Collection) -> CollectionInfo:
    stats = collection.stats()
    return {
        "name": name,
        "object": "collection",
        "num_documents": stats.num_documents,
        "num_chunks": stats.num_chunks,
        "version": stats.version,
        "dim": stats.dim,
        "disk_bytes": stats.disk_bytes,
    }


def _hit(hit: Hit) -> HitAnswer:
    return {
        "document_id": hit.document_id,
        "chunk_id": hit.chunk_id,
        "text": hit.text,
        "score": hit.score,
        "metadata": hit.metadata,
        "start": hit.start,
        "end": hit.end,
        "heading": hit.heading,
    }
