"""Files that are sent as they are become the documents that reading them here would make."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire import Collection
from quire.errors import ConfigError
from quire.retrieval.readers import read_file
from quire.server.retrieval import answers
from tests.retrieval.readers.test_readers import write_docx, write_pdf
from tests.server.scripted import scripted
from tests.server.serving import Running

DOCUMENTS = "/v1/collections/notes/documents"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Running]:
    settings: dict[str, Any] = {"collection_folder": str(folder), "max_body_bytes": 100_000}
    with scripted(tmp_path_factory.mktemp("tokens"), "Hm.", **settings) as (found, _):
        assert found.ask("/v1/collections", {"name": "notes", "vectors": "none"}).status == 200
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    write_pdf(path / "a.pdf", [["A gather-", "ing of pages."], ["The second page."]])
    write_docx(path / "a.docx")
    (path / "a.md").write_text("# A\n\nText.")
    (path / "a.html").write_text("<h1>A</h1><p>Text.")
    (path / "a.txt").write_bytes("Näher".encode("utf-16"))
    return path


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.md", "a.html", "a.txt"])
def test_a_file_is_read_as_it_would_be_here(server: Running, folder: Path, files: Path, name: str) -> None:
    content, expected = (files / name).read_bytes(), read_file(files / name)
    for counts in ((1, 0, 0), (0, 0, 1)):
        done = server.ask(f"{DOCUMENTS}/in/{name}", content, method="PUT").json
        assert (done["num_added"], done["num_updated"], done["num_unchanged"]) == counts
    with Collection.open(folder / "notes", read_only=True) as notes:
        found = notes.get(f"in/{name}")
    assert found is not None
    assert (found["text"], found.get("kind", "text")) == (expected.text, expected.kind)


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        (f"{DOCUMENTS}/a.pdf", b"%PDF-1.4\n\0garbage", 400, "a.pdf is no PDF"),
        (f"{DOCUMENTS}/a.docx", b"PK\3\4\0\0", 400, "a.docx is no DOCX"),
        (f"{DOCUMENTS}/a.bin", b"\0\1", 400, "a.bin is no text"),
        (f"{DOCUMENTS}/a.txt", b"x" * 100_001, 413, "allowed: 100000"),
        (f"{DOCUMENTS}/{'x' * 1025}", b"x", 400, "1024"),
        (f"{DOCUMENTS}/", b"x", 400, "id"),
        ("/v1/collections/nothing/documents/a.txt", b"x", 404, "no collection 'nothing'"),
    ],
)
def test_what_cannot_be_read_is_refused(server: Running, path: str, content: bytes, status: int, words: str) -> None:
    reply = server.ask(path, content, method="PUT")
    assert reply.status == status
    assert words in reply.error["message"]


def test_a_reader_that_is_not_installed_is_named(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_content(name: str, content: bytes) -> None:
        raise ConfigError(f"{name} needs pypdf to be read: pip install 'quire[documents]'")

    monkeypatch.setattr(answers, "read_content", read_content)
    reply = server.ask(f"{DOCUMENTS}/b.pdf", b"%PDF", method="PUT")
    assert (reply.status, "needs pypdf" in reply.error["message"]) == (415, True)
