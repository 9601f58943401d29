"""/v1/collections: which there are, made and deleted, and what in them a question is about."""

from fastapi import APIRouter, Request, Response

from quire.protocol.collections import (
    CollectionInfo,
    CollectionList,
    CollectionRequest,
    DeletedCollection,
    SearchAnswer,
    SearchRequest,
)
from quire.server.http.bodies import JsonAnswer, described, read_body
from quire.server.http.sse import in_time
from quire.server.retrieval import answers
from quire.server.state import call_of

router = APIRouter()


@router.get("/v1/collections", **described(None, CollectionList))
async def collections(request: Request) -> Response:
    """Those that were named when the server was started, and those of its folder."""
    return JsonAnswer(await in_time(request, answers.all_collections(call_of(request))))


@router.post("/v1/collections", **described(CollectionRequest, CollectionInfo))
async def new_collection(request: Request) -> Response:
    """Makes a collection, empty, in the server's folder."""
    body = await read_body(request, CollectionRequest)
    return JsonAnswer(await in_time(request, answers.made_collection(call_of(request), body)))


@router.get("/v1/collections/{name}", **described(None, CollectionInfo))
async def collection(request: Request, name: str) -> Response:
    """One of them."""
    return JsonAnswer(await in_time(request, answers.one_collection(call_of(request), name)))


@router.delete("/v1/collections/{name}", **described(None, DeletedCollection))
async def deleted_collection(request: Request, name: str) -> Response:
    """Deletes a collection of the server's folder with all that is in it."""
    return JsonAnswer(await in_time(request, answers.deleted_collection(call_of(request), name)))


@router.post("/v1/collections/{name}/search", **described(SearchRequest, SearchAnswer))
async def search(request: Request, name: str) -> Response:
    """The passages that are about the query, best first."""
    body = await read_body(request, SearchRequest)
    return JsonAnswer(await in_time(request, answers.searched(call_of(request), name, body)))
