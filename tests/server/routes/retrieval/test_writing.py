"""What is written over HTTP is on the disk when it is answered, and what cannot be kept is refused with its place."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from quire import Collection
from quire.server.retrieval import served
from tests.patience import wait_until
from tests.server.scripted import scripted
from tests.server.serving import Running

ALL = "/v1/collections"
NOTES = f"{ALL}/notes"
DOCUMENTS = f"{NOTES}/documents"
RIVER = {"id": "river", "text": "The Orne flows into the Channel.", "metadata": {"year": 1944, "tags": ["a", "b"]}}
TOWN = {"id": "a/town", "text": "# Caen\n\nA town on the Orne.", "kind": "markdown"}
BAD_NAMES = ["", ".", "..", "../x", "a/b", "/etc", ".hidden", "a b", "é", "x" * 101, "a\n", "\x00", "-x"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alone") / "folder"  # in which nothing but this server writes
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Running]:
    path = tmp_path_factory.mktemp("named") / "fixed"
    Collection.open(path, embedder=None).close()
    settings = {"collection": (str(path),), "collection_folder": str(folder), "api_key": ("secret",)}
    with scripted(tmp_path_factory.mktemp("tokens"), "Hm.", **settings) as (found, _):
        yield found


@pytest.fixture
def notes(server: Running) -> Iterator[Running]:
    assert tell(server, ALL, {"name": "notes", "vectors": "none"})["num_documents"] == 0
    yield server
    server.ask(NOTES, method="DELETE", Authorization="Bearer secret")


def tell(server: Running, path: str, body: Any = None, method: str | None = None) -> Any:
    reply = server.ask(path, body, method=method, Authorization="Bearer secret")
    assert reply.status == 200, reply.body
    return reply.json


def refusal(server: Running, path: str, body: Any = None, method: str | None = None) -> tuple[int, str, str | None]:
    reply = server.ask(path, body, method=method, Authorization="Bearer secret")
    return reply.status, reply.error["message"], reply.error["param"]


def held(folder: Path) -> dict[str, Any]:
    """What another process finds."""
    with Collection.open(folder / "notes", read_only=True) as collection:
        return {document_id: collection.get(document_id) for document_id in collection.ids()}


def test_documents_are_written_replaced_and_taken_out(notes: Running, folder: Path) -> None:
    answer = tell(notes, DOCUMENTS, {"documents": [RIVER, TOWN]})
    assert (answer["num_added"], answer["num_updated"], answer["num_unchanged"]) == (2, 0, 0)
    assert held(folder) == {"river": RIVER, "a/town": {**TOWN, "metadata": {}}}
    answer = tell(notes, DOCUMENTS, {"documents": [RIVER, {**TOWN, "text": "A town by the sea."}]})
    assert (answer["num_added"], answer["num_updated"], answer["num_unchanged"]) == (0, 1, 1)
    assert held(folder)["a/town"]["text"] == "A town by the sea."
    (hit,) = tell(notes, f"{NOTES}/search", {"query": "sea"})["data"]
    assert hit["document_id"] == "a/town"
    assert tell(notes, f"{DOCUMENTS}/a/town", method="DELETE") == {"num_deleted": 1, "version": answer["version"] + 1}
    assert tell(notes, f"{DOCUMENTS}/delete", {"ids": ["river", "a/town"]})["num_deleted"] == 1
    assert held(folder) == {}
    assert tell(notes, f"{NOTES}/search", {"query": "sea"})["data"] == []
    assert refusal(notes, f"{DOCUMENTS}/river", method="DELETE")[0] == 404


def test_documents_are_listed_page_by_page_whatever_is_deleted_meanwhile(notes: Running) -> None:
    tell(notes, DOCUMENTS, {"documents": [{"id": f"d{n}", "text": "x" * n, "metadata": {"n": n}} for n in range(5)]})
    page = tell(notes, f"{DOCUMENTS}?limit=2")
    assert page["data"] == [{"id": f"d{n}", "kind": "text", "metadata": {"n": n}, "num_chars": n} for n in (0, 1)]
    tell(notes, f"{DOCUMENTS}/delete", {"ids": ["d1", "d2"]})
    rest = tell(notes, f"{DOCUMENTS}?limit=2&after={page['next']}")
    assert ([one["id"] for one in rest["data"]], rest["next"]) == (["d3", "d4"], None)
    for asked in ("limit=0", "limit=x", "limit=1001", "after=-1", f"after={1 << 63}"):
        status, message, param = refusal(notes, f"{DOCUMENTS}?{asked}")
        assert (status, param) == (400, asked.partition("=")[0]), message


def test_a_collection_is_made_and_deleted(server: Running, folder: Path) -> None:
    made = tell(server, ALL, {"name": "vectors", "vectors": "own", "dim": 2, "language": "german"})
    assert (made["vectors"], made["dim"], made["num_documents"]) == ("own", 2, 0)
    assert [info["name"] for info in tell(server, ALL)["data"]] == ["fixed", "vectors"]
    near, far = ({"id": name, "text": name, "vector": vector} for name, vector in (("near", [3, 4]), ("far", [-4, 3])))
    tell(server, f"{ALL}/vectors/documents", {"documents": [near, far]})
    hits = tell(server, f"{ALL}/vectors/search", {"query": "", "vector": [0.6, 0.8], "mode": "dense"})["data"]
    assert [(hit["document_id"], pytest.approx(hit["score"])) for hit in hits] == [("near", 1), ("far", 0)]
    assert refusal(server, ALL, {"name": "vectors"})[0] == 409
    assert tell(server, f"{ALL}/vectors", method="DELETE")["deleted"] is True
    assert not (folder / "vectors").exists()
    assert refusal(server, f"{ALL}/vectors")[0] == 404
    assert tell(server, ALL, {"name": "vectors", "vectors": "none"})["vectors"] == "none"
    tell(server, f"{ALL}/vectors", method="DELETE")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_is_no_path(server: Running, folder: Path, name: str) -> None:
    before = sorted(folder.parent.rglob("*"))
    status, _, param = refusal(server, ALL, {"name": name, "vectors": "none"})
    assert (status, param) == (400, "name")
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize("path", [f"{ALL}/..%2Ffolder", f"{ALL}/%2e%2e", f"{ALL}/.", f"{ALL}/fixed%00", f"{ALL}/x%0a"])
def test_no_address_leads_out_of_the_folder(server: Running, path: str) -> None:
    assert refusal(server, path)[0] == 404
    assert refusal(server, path, method="DELETE")[0] in (404, 405)


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ([RIVER, {"id": "x"}], "documents[1].text", "missing"),
        ([RIVER, {"id": "", "text": "x"}], "documents[1].id", "1 character"),
        ([RIVER, {"id": "x", "text": 3}], "documents[1].text", "3"),
        ([RIVER, {"id": "x", "text": "x", "metadatas": {}}], "documents[1].metadatas", "Did you mean 'metadata'?"),
        ([RIVER, {"id": "x", "text": "x", "metadata": {"$or": 1}}], "documents[1].metadata", "$or"),
        ([RIVER, {"id": "x", "text": "x", "metadata": {"n": 1 << 70}}], "documents[1].metadata", "2**63"),
        ([RIVER, {"id": "x", "text": "x", "vector": [0, 0]}], "documents[1].vector", "zero"),
        ([RIVER, {"id": "x", "text": "x", "vector": [1, 0]}], "vector", "words only"),
        ([RIVER, {**RIVER}], "documents[1].id", "documents[0]"),
        ([RIVER, {"id": "x", "text": "x", "kind": "pdf"}], "documents[1].kind", "pdf"),
        ([], "documents", "at least 1"),
        ([{"id": str(n), "text": ""} for n in range(1001)], "documents", "at most 1000"),
        ("river", "documents", "array"),
    ],
)
def test_nothing_is_kept_where_one_cannot_be(notes: Running, folder: Path, more: Any, param: str, words: str) -> None:
    status, message, given = refusal(notes, DOCUMENTS, {"documents": more})
    assert (status, given) == (400, param)
    assert words in message
    assert held(folder) == {}


@pytest.mark.parametrize(
    ("path", "body", "method", "status", "words"),
    [
        (ALL, {"name": "n", "vectors": "own"}, None, 400, "dim"),
        (ALL, {"name": "n", "vectors": "none", "dim": 3}, None, 400, "dim"),
        (ALL, {"name": "n", "vectors": "none", "language": "klingon"}, None, 400, "klingon"),
        (ALL, {"name": "fixed"}, None, 409, "already"),
        (f"{ALL}/fixed", None, "DELETE", 403, "named when the server was started"),
        (f"{ALL}/none/documents", {"documents": [RIVER]}, None, 404, "allowed: 'fixed'"),
        (f"{ALL}/none/documents/delete", {"ids": ["x"]}, None, 404, "allowed: 'fixed'"),
        (f"{ALL}/fixed/documents/delete", {"ids": []}, None, 400, "ids"),
    ],
)
def test_what_cannot_be_done_is_refused(
    server: Running, path: str, body: Any, method: str | None, status: int, words: str
) -> None:
    found, message, _ = refusal(server, path, body, method)
    assert found == status
    assert words in message


def test_one_process_writes_at_a_time(notes: Running, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "LINGER_S", 0.01)
    with Collection.open(folder / "notes", embedder=None) as other:
        status, message, _ = refusal(notes, DOCUMENTS, {"documents": [RIVER]})
        assert status == 409
        assert "Another process" in message
        assert str(folder) not in message
        assert refusal(notes, NOTES, method="DELETE")[0] == 409
        other.add([{"id": "theirs", "text": "Quires."}])
        assert len(tell(notes, f"{NOTES}/search", {"query": "quires"})["data"]) == 1
    tell(notes, DOCUMENTS, {"documents": [RIVER]})

    def is_free() -> bool:
        try:
            Collection.open(folder / "notes", embedder=None).close()
        except Exception:
            return False
        return True

    wait_until(is_free)
    assert held(folder).keys() == {"theirs", "river"}


def test_writes_at_one_time_are_all_kept(notes: Running, folder: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        bodies = [{"documents": [{"id": f"{n}-{m}", "text": f"text {n} {m}"} for m in range(4)]} for n in range(16)]
        answers = list(threads.map(lambda body: tell(notes, DOCUMENTS, body), bodies))
    assert sum(answer["num_added"] for answer in answers) == len(held(folder)) == 64
    metrics = notes.ask("/metrics", Authorization="Bearer secret").body.decode()
    assert 'quire:documents_written_total{model_name="tiny"}' in metrics


def test_what_another_process_makes_or_deletes_is_seen(notes: Running, folder: Path) -> None:
    with Collection.open(folder / "theirs", embedder=None) as other:
        other.add([{"id": "x", "text": "Quires."}])
    assert tell(notes, f"{ALL}/theirs")["num_documents"] == 1
    tell(notes, f"{ALL}/theirs", method="DELETE")
    with Collection.open(folder / "theirs", embedder=None):
        assert tell(notes, f"{ALL}/theirs")["num_documents"] == 0
    tell(notes, f"{ALL}/theirs", method="DELETE")


def test_a_read_only_server_keeps_them_as_they_are(tmp_path: Path) -> None:
    with Collection.open(tmp_path / "folder" / "notes", embedder=None) as collection:
        collection.add([RIVER])
    settings = {"collection_folder": str(tmp_path / "folder"), "are_collections_read_only": True}
    with scripted(tmp_path, "Hm.", **settings) as (server, _):
        assert server.ask(NOTES).json["num_documents"] == 1
        for path, body, method in [
            (ALL, {"name": "x"}, "POST"),
            (DOCUMENTS, {"documents": [TOWN]}, "POST"),
            (f"{DOCUMENTS}/delete", {"ids": ["river"]}, "POST"),
            (f"{DOCUMENTS}/river", None, "DELETE"),
            (NOTES, None, "DELETE"),
        ]:
            reply = server.ask(path, body, method=method)
            assert (reply.status, reply.error["code"]) == (403, "collections_read_only")
        assert server.ask(NOTES).json["num_documents"] == 1


def test_a_key_is_needed_to_write(server: Running) -> None:
    assert server.ask(ALL, {"name": "x"}).status == 401
    assert server.ask(f"{ALL}/fixed", method="DELETE").status == 401
