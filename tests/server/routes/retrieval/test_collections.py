"""What the served collections answer over HTTP is what they answer in a process of one's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire import Collection
from tests.rag.chunks import CAEN, ORNE, VIRE
from tests.server.scripted import scripted
from tests.server.serving import Running

TEXTS = {"orne": ORNE.text, "a/vire": VIRE.text, "caen": CAEN.text}
SEARCH = "/v1/collections/rivers/search"


@pytest.fixture(scope="module")
def rivers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "rivers"
    with Collection.open(path, embedder=None) as collection:
        collection.add([{"id": i, "text": t, "metadata": {"is_town": i == "caen"}} for i, t in TEXTS.items()])
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, rivers: Path) -> Iterator[Running]:
    with scripted(tmp_path_factory.mktemp("tokens"), "Hm.", collection=(str(rivers),), api_key=("secret",)) as (
        found,
        _,
    ):
        yield found


def ask(server: Running, path: str, body: Any = None) -> Any:
    reply = server.ask(path, body, Authorization="Bearer secret")
    assert reply.status == 200, reply.body
    return reply.json


def test_collections_are_listed_with_what_they_hold(server: Running) -> None:
    (info,) = ask(server, "/v1/collections")["data"]
    assert ask(server, "/v1/collections/rivers") == info
    assert (info["name"], info["num_documents"], info["num_chunks"], info["dim"]) == ("rivers", 3, 3, None)


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "mapped"},
        {"query": "the", "k": 2},
        {"query": "the", "filter": {"is_town": True}},
        {"query": "the Orne", "mode": "lexical", "fusion": "dbsf"},
        {"query": ""},
        {"query": "zebra"},
    ],
)
def test_a_search_finds_what_the_collection_finds(server: Running, rivers: Path, asked: dict[str, Any]) -> None:
    with Collection.open(rivers, read_only=True) as collection:
        expected = collection.search(**asked)
    hits = ask(server, SEARCH, asked)["data"]
    assert [(hit["document_id"], hit["text"], hit["score"]) for hit in hits] == [
        (hit.document_id, hit.text, pytest.approx(hit.score)) for hit in expected
    ]
    for hit in hits:
        assert TEXTS[hit["document_id"]][hit["start"] : hit["end"]] == hit["text"]
        assert hit["metadata"] == {"is_town": hit["document_id"] == "caen"}


@pytest.mark.parametrize("document_id", TEXTS)
def test_a_document_is_as_it_was_added(server: Running, document_id: str) -> None:
    assert ask(server, f"/v1/collections/rivers/documents/{document_id}") == {
        "id": document_id,
        "text": TEXTS[document_id],
        "kind": "text",
        "metadata": {"is_town": document_id == "caen"},
    }


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/collections/lakes", None, 404, "There is no collection 'lakes' here; allowed: 'rivers'"),
        ("/v1/collections/lakes/search", {"query": "x"}, 404, "no collection 'lakes'"),
        ("/v1/collections/rivers/documents/seine", None, 404, "There is no document 'seine' in 'rivers'"),
        (SEARCH, {"query": "x", "k": 0}, 400, "k"),
        (SEARCH, {"query": "x", "mode": "dense"}, 400, ""),
        (SEARCH, {"query": "x", "filter": {"$nor": 1}}, 400, "$nor"),
        (SEARCH, {"query": "x", "limit": 3}, 400, "There is no field 'limit'"),
        (SEARCH, {}, 400, "query"),
    ],
)
def test_what_cannot_be_answered_is_refused(server: Running, path: str, body: Any, status: int, words: str) -> None:
    reply = server.ask(path, body, Authorization="Bearer secret")
    assert reply.status == status
    assert words in reply.error["message"]


def test_a_key_is_needed(server: Running) -> None:
    assert server.ask("/v1/collections").status == 401
    assert server.ask(SEARCH, {"query": "x"}).status == 401
