"""What is asked of collections and what is answered, over whichever protocol it came."""

from collections.abc import Callable
from typing import Any, TypeVar

from quire.errors import ConfigError, InvalidRequestError, shown
from quire.protocol.collections import (
    CollectionInfo,
    CollectionList,
    CollectionRequest,
    DeletedCollection,
    DeletedDocuments,
    DocumentAnswer,
    DocumentBody,
    DocumentInfo,
    DocumentList,
    HitAnswer,
    SearchAnswer,
    SearchRequest,
    UpsertRequest,
    WrittenDocuments,
)
from quire.retrieval.collection import Collection, Document, Hit
from quire.retrieval.collection.documents import checked_documents
from quire.retrieval.readers import read_content
from quire.server.errors import ApiError
from quire.server.retrieval.served import ServedCollection
from quire.server.state import Call

T = TypeVar("T")


async def all_collections(call: Call) -> CollectionList:
    collections = call.state.retrieval.collections
    data = await _ask(call, lambda: [_info(served) for served in collections.all()])
    return {"object": "list", "data": data}


async def one_collection(call: Call, name: str) -> CollectionInfo:
    return await _ask(call, lambda: _info(call.state.retrieval.collections.named(name)))


async def made_collection(call: Call, body: CollectionRequest) -> CollectionInfo:
    retrieval = call.state.retrieval
    return await retrieval.make(call.caller, lambda: _info(retrieval.collections.make(body)))


async def deleted_collection(call: Call, name: str) -> DeletedCollection:
    await call.state.retrieval.delete(call.caller, name)
    return {"name": name, "object": "collection.deleted", "deleted": True}


async def searched(call: Call, name: str, body: SearchRequest) -> SearchAnswer:
    def search() -> list[Hit]:
        reader = call.state.retrieval.collections.named(name).reader
        how: dict[str, Any] = {"mode": body.mode, "filter": body.filter, "fusion": body.fusion, "vector": body.vector}
        return reader.search(body.query, body.k, **how)

    hits = await _ask(call, search, len(body.query))
    call.state.metrics.count_search()
    call.state.retrieval.count_query(body.query)
    call.add_facts(collection=name, num_hits=len(hits))
    return {"object": "list", "data": [_hit(hit) for hit in hits]}


async def listed_documents(call: Call, name: str, limit: int, after: int) -> DocumentList:
    found = await _ask(call, lambda: call.state.retrieval.collections.named(name).reader.listed(limit + 1, after))
    data: list[DocumentInfo] = [
        {"id": one.id, "kind": one.kind, "metadata": one.metadata, "num_chars": one.num_chars} for one in found[:limit]
    ]
    return {"object": "list", "data": data, "next": found[limit - 1].place if len(found) > limit else None}


async def found_document(call: Call, name: str, document_id: str) -> DocumentAnswer:
    found = await _ask(call, lambda: call.state.retrieval.collections.named(name).reader.get(document_id))
    if found is None:
        raise _no_document(name, document_id)
    kind, metadata = found.get("kind", "text"), found.get("metadata") or {}
    return {"id": found["id"], "text": found["text"], "kind": kind, "metadata": metadata}


async def written(call: Call, name: str, body: UpsertRequest) -> WrittenDocuments:
    num_chars = sum(len(document.text) for document in body.documents)
    call.add_facts(num_documents=len(body.documents))
    return await _write(call, name, num_chars, lambda: _checked_each(body.documents))


async def uploaded(call: Call, name: str, document_id: str, content: bytes) -> WrittenDocuments:
    """A file as a document, read by the end of its name. Raises InvalidRequestError where it cannot be, ApiError 415
    where what reads such files is not installed."""

    def read() -> list[Document]:
        try:
            found = read_content(document_id, content)
        except ConfigError as error:
            raise ApiError(415, f"This server cannot read such files: {error}.", code="unreadable_file") from None
        return [{"id": document_id, "text": found.text, "kind": found.kind}]

    return await _write(call, name, len(content), read)


async def _write(call: Call, name: str, num_chars: int, read: Callable[[], list[Document]]) -> WrittenDocuments:
    def write(collection: Collection) -> WrittenDocuments:
        done = collection.update(read(), progress=False)
        return {
            "num_added": done.num_added,
            "num_updated": done.num_updated,
            "num_unchanged": done.num_unchanged,
            "num_chunks": done.num_chunks,
            "version": collection.version,
        }

    answer = await call.state.retrieval.write(call.caller, name, num_chars, write)
    call.state.metrics.count_written(answer["num_added"] + answer["num_updated"])
    call.add_facts(collection=name)
    return answer


async def deleted_documents(call: Call, name: str, ids: list[str]) -> DeletedDocuments:
    def delete(collection: Collection) -> DeletedDocuments:
        return {"num_deleted": collection.delete(ids), "version": collection.version}

    answer = await call.state.retrieval.write(call.caller, name, 0, delete)
    call.state.metrics.count_deleted(answer["num_deleted"])
    call.add_facts(collection=name, num_documents=len(ids))
    return answer


async def deleted_document(call: Call, name: str, document_id: str) -> DeletedDocuments:
    answer = await deleted_documents(call, name, [document_id])
    if not answer["num_deleted"]:
        raise _no_document(name, document_id)
    return answer


async def _ask(call: Call, work: Callable[[], T], num_chars: int = 0) -> T:
    return await call.state.retrieval.ask(call.caller, num_chars, work)


def _checked_each(bodies: list[DocumentBody]) -> list[Document]:
    """Raises InvalidRequestError that says which of them cannot be kept, before any of them is."""
    documents: list[Document] = []
    places: dict[str, int] = {}
    for index, body in enumerate(bodies):
        document: Document = {"id": body.id, "text": body.text, "metadata": body.metadata, "kind": body.kind}
        if body.vector is not None:
            document["vector"] = body.vector
        try:
            checked_documents([document])
        except InvalidRequestError as error:
            param = f"documents[{index}].{error.param}"
            raise InvalidRequestError(f"documents[{index}]: {error}", param=param) from None
        if body.id in places:
            same = f"documents[{index}] has the id {shown(body.id)} of documents[{places[body.id]}]; give each id once."
            raise InvalidRequestError(same, param=f"documents[{index}].id")
        places[body.id] = index
        documents.append(document)
    return documents


def _info(served: ServedCollection) -> CollectionInfo:
    stats = served.reader.stats()
    return {
        "name": served.name,
        "object": "collection",
        "num_documents": stats.num_documents,
        "num_chunks": stats.num_chunks,
        "version": stats.version,
        "dim": stats.dim,
        "vectors": stats.vectors,
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


def _no_document(name: str, document_id: str) -> ApiError:
    message = f"There is no document {shown(document_id)} in {shown(name)}."
    return ApiError(404, message, param="document_id", code="document_not_found")
