"""Collections by the client: what is written is what other processes find, whichever way it travelled."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quire import AsyncClient, Client, Collection, RetryPolicy, ServerError
from quire.client import joined_chat
from quire.errors import InvalidRequestError
from tests.models.tiny_encoders import write_tiny_encoder
from tests.patience import wait_until
from tests.server.scripted import scripted
from tests.server.serving import Running

RIVER: Any = {"id": "a/river", "text": "The Orne flows into the Channel.", "metadata": {"id": 2**62 + 1, "tags": ["a"]}}
TOWN: Any = {"id": "..", "text": "Caen is a town.", "metadata": None}
NO_RETRIES = RetryPolicy(max_retries=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("models")
    write_tiny_encoder(path / "embedder")
    write_tiny_encoder(path / "judge", is_classifier=True, num_labels=1)
    with scripted(
        path,
        "It flows [1].",
        grpc_port=0,
        collection_folder=str(folder),
        embedder=str(path / "embedder"),
        reranker=str(path / "judge"),
        api_key=("secret",),
    ) as (found, _):
        wait_until(lambda: found.state.grpc_port is not None)
        yield found


@pytest.fixture
def http(server: Running) -> Iterator[Client]:
    with Client(server.url, api_key="secret", retries=NO_RETRIES) as client:
        yield client


@pytest.fixture
def grpc(server: Running) -> Iterator[Client]:
    with Client(f"grpc://127.0.0.1:{server.state.grpc_port}", api_key="secret", retries=NO_RETRIES) as client:
        yield client


def test_the_life_of_a_collection(http: Client, folder: Path) -> None:
    assert http.create_collection("notes", vectors="none")["num_documents"] == 0
    assert http.upsert("notes", [RIVER, TOWN])["num_added"] == 2
    assert http.document("notes", "a/river") == {**RIVER, "kind": "text"}
    assert http.document("notes", "..")["text"] == TOWN["text"]
    with Collection.open(folder / "notes", read_only=True) as collection:
        assert collection.get("a/river") == RIVER
    page = http.documents("notes", limit=1)
    assert [one["id"] for one in page["data"]] == ["a/river"]
    assert [one["id"] for one in http.documents("notes", after=page["next"] or 0)["data"]] == [".."]
    (hit,) = http.search("notes", "town", k=3, mode="lexical")
    assert hit["document_id"] == ".."
    assert [info["name"] for info in http.collections()] == ["notes"]
    assert http.collection("notes")["num_documents"] == 2
    assert http.delete_documents("notes", ["..", "nobody"]) == 1
    http.delete_collection("notes")
    with pytest.raises(ServerError) as caught:
        http.collection("notes")
    assert (caught.value.status, caught.value.code) == (404, "collection_not_found")


def test_a_file_is_read_by_the_server(http: Client, grpc: Client, tmp_path: Path) -> None:
    page = tmp_path / "the page.html"
    page.write_bytes("<p>Zo\u00eb sails.</p><script>no words</script>".encode())
    http.create_collection("files", vectors="none")
    assert http.upload("files", page)["num_added"] == 1
    assert http.upload("files", page)["num_unchanged"] == 1
    assert http.upload("files", page, document_id="a/b.txt")["num_added"] == 1  # by this name it is plain text
    found = http.document("files", "the page.html")
    assert (found["kind"], "Zo\u00eb" in found["text"]) == ("html", True)
    assert [hit["document_id"] for hit in http.search("files", "script")] == ["a/b.txt"]
    with pytest.raises(FileNotFoundError):
        http.upload("files", tmp_path / "nothing.txt")
    with pytest.raises(InvalidRequestError, match="cannot be asked over gRPC"):
        grpc.upload("files", page)
    http.delete_collection("files")


def test_grpc_writes_and_finds_what_http_does(http: Client, grpc: Client) -> None:
    http.create_collection("both", vectors="own", dim=2)
    written = grpc.upsert("both", [{**RIVER, "vector": np.array([0.6, 0.8])}, {**TOWN, "vector": [1, 0]}])
    assert (written["num_added"], written["num_updated"]) == (2, 0)
    assert grpc.upsert("both", [{**TOWN, "vector": [0, 1]}])["num_updated"] == 1
    assert http.document("both", "a/river") == {**RIVER, "kind": "text"}
    asked: Any = {"vector": [0.6, 0.8], "mode": "dense", "filter": {"id": 2**62 + 1}}
    (mine,), (theirs,) = grpc.search("both", "", **asked), http.search("both", "", **asked)
    assert mine == theirs
    assert (mine["document_id"], mine["metadata"], mine["heading"]) == ("a/river", RIVER["metadata"], None)
    for client in (http, grpc):
        with pytest.raises(ServerError) as caught:
            client.upsert("both", [RIVER])
        assert (caught.value.status, caught.value.param) == (400, "vector")
        with pytest.raises(ServerError) as caught:
            client.search("nothing", "x")
        assert caught.value.status == 404
    http.delete_collection("both")


def test_a_chat_stands_on_a_collection(http: Client, grpc: Client) -> None:
    http.create_collection("rivers", vectors="none")
    http.upsert("rivers", [RIVER])
    for client in (http, grpc):
        asked: Any = {"collection": "rivers", "retrieval": {"k": 2, "filter": {"tags": "a"}}}
        whole = client.chat("Where does the Orne flow?", **asked)["choices"][0]["message"]
        joined = joined_chat([*client.chat_stream("Where does the Orne flow?", **asked)])["choices"][0]["message"]
        for message in (whole, joined):
            (citation,) = message["citations"]
            assert (citation["document_id"], citation["text"]) == ("a/river", RIVER["text"])
            assert (message["content"] or "")[citation["start"] : citation["end"]] == "[1]"
    http.delete_collection("rivers")


def test_embeddings_and_rerankings(http: Client, grpc: Client) -> None:
    texts = ["one text", "another"]
    whole, same = http.embed(texts, dimensions=8), grpc.embed(texts, dimensions=8, input_type="document")
    for mine, theirs in zip(whole["data"], same["data"], strict=True):
        np.testing.assert_allclose(mine["embedding"], theirs["embedding"], atol=1e-6)
        assert len(mine["embedding"]) == 8
    assert whole["usage"] == same["usage"]
    assert whole["model"] == same["model"]
    ranked = http.rerank("a text", texts, top_n=1, return_documents=False)["results"]
    assert len(ranked) == 1
    with pytest.raises(InvalidRequestError, match="cannot be asked over gRPC"):
        grpc.rerank("a text", texts)


def test_the_asynchronous_client_does_the_same(server: Running) -> None:
    async def life() -> list[str]:
        async with AsyncClient(server.url, api_key="secret") as client:
            await client.create_collection("later", vectors="none", language="none")
            await asyncio.gather(*(client.upsert("later", [{"id": str(n), "text": f"text {n}"}]) for n in range(8)))
            hits = await client.search("later", "text", k=20)
            assert await client.delete_documents("later", [str(n) for n in range(8)]) == 8
            await client.delete_collection("later")
            return [hit["document_id"] for hit in hits]

    assert sorted(asyncio.run(life())) == [str(n) for n in range(8)]
