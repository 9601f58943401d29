"""/v1/collections/{name}/documents: put in, read and taken out again.

What is answered with 200 is on the disk, and the next search sees it.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from quire.protocol.collections import (
    MAX_LISTED,
    DeletedDocuments,
    DeleteDocumentsRequest,
    DocumentAnswer,
    DocumentList,
    UpsertRequest,
    WrittenDocuments,
)
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import in_time
from quire.server.retrieval import answers
from quire.server.state import call_of

router = APIRouter()

_FILE: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    }
}


@router.post("/v1/collections/{name}/documents", **described(UpsertRequest, WrittenDocuments))
async def written(request: Request, name: str) -> Response:
    """Adds documents, or puts them in place of those with the same ids: all of them are checked before one is kept."""
    body = await read_body(request, UpsertRequest)
    return JsonAnswer(await in_time(request, answers.written(call_of(request), name, body)))


@router.put("/v1/collections/{name}/documents/{document_id:path}", **described(None, WrittenDocuments), **_FILE)
async def uploaded(request: Request, name: str, document_id: str) -> Response:
    """A file as it is: text, Markdown, HTML, PDF or DOCX, by the end of the document's id. Pages of other sites cannot
    send it unasked, since browsers ask first for this method."""
    content = await request.body()
    return JsonAnswer(await in_time(request, answers.uploaded(call_of(request), name, document_id, content)))


@router.get("/v1/collections/{name}/documents", **described(None, DocumentList))
async def documents(
    request: Request,
    name: str,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 100,
    after: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
) -> Response:
    """What there is, in the order in which it came, without the texts; `next` is the `after` of the next page."""
    return JsonAnswer(await in_time(request, answers.listed_documents(call_of(request), name, limit, after)))


@router.post("/v1/collections/{name}/documents/delete", **described(DeleteDocumentsRequest, DeletedDocuments))
async def deleted(request: Request, name: str) -> Response:
    """Takes documents out, all at once; ids that are not there are passed over."""
    body = await read_body(request, DeleteDocumentsRequest)
    return JsonAnswer(await in_time(request, answers.deleted_documents(call_of(request), name, body.ids)))


@router.get("/v1/collections/{name}/documents/{document_id:path}", **described(None, DocumentAnswer))
async def document(request: Request, name: str, document_id: str) -> Response:
    """A document as it was added."""
    return JsonAnswer(await in_time(request, answers.found_document(call_of(request), name, document_id)))


@router.delete("/v1/collections/{name}/documents/{document_id:path}", **described(None, DeletedDocuments))
async def deleted_document(request: Request, name: str, document_id: str) -> Response:
    """Takes one document out."""
    return JsonAnswer(await in_time(request, answers.deleted_document(call_of(request), name, document_id)))
