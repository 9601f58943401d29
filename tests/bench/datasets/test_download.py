"""A collection comes from a server whole, or not at all."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.bench.datasets import download as downloads
from quire.bench.datasets import open_dataset
from quire.bench.datasets.download import BEIR, Published, download, published
from quire.cli.app import app
from quire.errors import ConfigError

MEMBERS = {
    "owls/corpus.jsonl": '{"_id": "d", "title": "", "text": "hoot"}\n',
    "owls/queries.jsonl": '{"_id": "q", "text": "?"}\n',
    "owls/qrels/test.tsv": "query-id\tcorpus-id\tscore\nq\td\t1\n",
    "owls/README": "left out",
    "owls/../../escaped.tsv": "left out",
    "../qrels/escaped.tsv": "left out",
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "server"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/sets/", folder
    server.shutdown()
    thread.join()
    server.server_close()


def owls(folder: Path) -> Published:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in MEMBERS.items():
            archive.writestr(name, text)
    (folder / "sets").mkdir(exist_ok=True)
    (folder / "sets" / "owls.zip").write_bytes(out.getvalue())
    return Published("owls", len(out.getvalue()), hashlib.md5(out.getvalue()).hexdigest())


def test_a_collection_is_fetched_once_and_can_be_read(served: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = served
    told: list[int] = []
    wanted = owls(folder)
    found = download(wanted, tmp_path / "data", url, told.append)
    assert sum(told) == wanted.num_bytes
    assert [document.text for document in open_dataset(str(found)).documents()] == ["hoot"]
    assert [question.grades for question in open_dataset(str(found)).questions()] == [{"d": 1.0}]
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file() and p.parent != folder / "sets") == [
        "corpus.jsonl",
        "queries.jsonl",
        "test.tsv",
    ]
    (folder / "sets" / "owls.zip").unlink()
    assert download(wanted, tmp_path / "data", url) == found


def test_what_is_not_what_was_published_is_not_kept(served: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = served
    wanted = owls(folder)
    for other in (Published("owls", wanted.num_bytes, "0" * 32), Published("owls", 10, wanted.md5)):
        with pytest.raises(ConfigError, match="Nothing was kept"):
            download(other, tmp_path / "data", url)
    with pytest.raises(ConfigError, match="cannot be fetched: HTTP Error 404"):
        download(Published("hawks", 1, ""), tmp_path / "data", url)
    with pytest.raises(ConfigError, match="no address of a server"):
        download(wanted, tmp_path / "data", folder.as_uri())
    assert list((tmp_path / "data").iterdir()) == []


def test_the_command_says_what_it_fetches(
    served: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = served
    wanted = owls(folder)
    monkeypatch.setitem(downloads.BEIR, "owls", wanted)
    listed = CliRunner().invoke(app, ["bench", "download"])
    assert all(f"{known.md5}  {known.url()}" in listed.output for known in BEIR.values())
    done = CliRunner().invoke(app, ["bench", "download", "owls", "--into", str(tmp_path / "data"), "--mirror", url])
    assert done.exit_code == 0, done.output
    assert f"{url}owls.zip: 0.0 MB, md5 {wanted.md5}" in done.output
    assert (tmp_path / "data" / "owls" / "corpus.jsonl").exists()
    with pytest.raises(ConfigError, match=r"no collection known here.*Did you mean 'scifact'"):
        published("scifacts")
