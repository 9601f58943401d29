"""What is said where a collection cannot be had, made or changed: in words without paths and processes of ours."""

from collections.abc import Iterable

from quire.errors import shown
from quire.server.errors import ApiError


def not_found(name: str, known: Iterable[str] = ()) -> ApiError:
    allowed = ", ".join(map(repr, known))
    there = f"; allowed: {allowed}" if allowed else ""
    message = f"There is no collection {shown(name)} here{there}."
    return ApiError(404, message, param="collection", code="collection_not_found")


def already_there(name: str) -> ApiError:
    message = f"There is a collection {shown(name)} already; delete it first, or choose another name."
    return ApiError(409, message, param="name", code="collection_exists")


def not_ours(name: str) -> ApiError:
    message = (
        f"The collection {shown(name)} was named when the server was started; delete it there, with `quire collections "
        "delete`. Those that were made over the network can be deleted here."
    )
    return ApiError(403, message, param="collection", code="collection_not_ours")


def no_embedder() -> ApiError:
    message = (
        'vectors is "embedder", and this server has no embedding model; allowed: "own" and "none". Install the default '
        "one (docs/embeddings.md), or start it with --embedder MODEL."
    )
    return ApiError(400, message, param="vectors")


def read_only() -> ApiError:
    message = "The collections of this server are read only; it was started with --are-collections-read-only."
    return ApiError(403, message, code="collections_read_only")
