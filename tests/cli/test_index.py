"""Files go into a collection, are found there, and go again; every command says what it did, for people and as JSON."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.cli.app import app
from quire.retrieval.collection import Collection

FILES = {
    "notes/owl.md": "# Owls\n\nThe owl went to sea in a beautiful boat.",
    "notes/deep/tyger.txt": "Tyger tyger burning bright in the forests of the night.",
    "notes/page.html": "<h1>Snark</h1><p>The snark was a boojum, you see.</p>",
    "notes/.hidden.md": "Nobody reads this boat.",
    "notes/image.png": "\0binary",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("QUIRE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path / "home"


def quire(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["--log-level", "error", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def as_json(*arguments: str, code: int = 0):
    return json.loads(quire(*arguments, "--json", code=code))


def index(*paths: str, code: int = 0):
    return as_json("index", *paths, "-c", "n", "--embedder", "none", code=code)


def test_a_folder_is_indexed_once_and_then_only_what_changed(tmp_path) -> None:
    counts = {"num_added": 3, "num_updated": 0, "num_unchanged": 0, "num_chunks": 3}
    assert index("notes") == {"collection": "n", **counts, "skipped": {}}
    assert index("add", "notes")["num_unchanged"] == 3
    (tmp_path / "notes/owl.md").write_text("# Owls\n\nThe owl stayed at home.")
    again = index("notes", "notes/owl.md")
    assert (again["num_updated"], again["num_unchanged"]) == (1, 2)
    told = quire("index", "notes", "-c", "n", "--embedder", "none")
    assert told == "n: 0 files added, 0 updated, 3 unchanged; 0 passages indexed\n"


def test_what_cannot_be_read_is_named_and_left_out(tmp_path) -> None:
    told = index("notes/image.png", "notes/owl.md", code=1)
    assert (told["num_added"], list(told["skipped"])) == (1, [str(tmp_path / "notes/image.png")])
    assert "error: there is no nowhere" in quire("index", "nowhere", "-c", "n", code=2)


def test_a_file_whose_reader_is_not_installed_does_not_keep_the_others_out(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    (tmp_path / "notes/paper.pdf").write_bytes(b"%PDF-1.7")
    told = index("notes", code=1)
    assert (told["num_added"], list(told["skipped"])) == (3, [str(tmp_path / "notes/paper.pdf")])
    assert "pip install 'quire[documents]'" in told["skipped"][str(tmp_path / "notes/paper.pdf")]


def test_passages_are_found_with_their_sources(tmp_path) -> None:
    index("notes")
    best = as_json("search", "boat", "-c", "n", "-k", "1")[0]
    assert best["document_id"] == str(tmp_path / "notes/owl.md")
    assert (best["text"], best["heading"]) == ("The owl went to sea in a beautiful boat.", "Owls")
    assert as_json("search", "boat", "-c", "n", "--filter", '{"name": "page.html"}') == []
    told = quire("search", "the boojum", "-c", "n", "--mode", "lexical", "-k", "1")
    assert told.startswith(f"1. {tmp_path / 'notes/page.html'} › Snark\n    lexical #1 (")
    assert "The snark was a boojum, you see." in told
    assert quire("search", "zebra", "-c", "n") == "Nothing found.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mode", "hybird"], "Did you mean 'hybrid'"),
        (["--mode", "dense"], "has no vectors"),
        (["--filter", "{a"], "allowed: JSON"),
        (["--filter", '{"$nor": []}'], "filter has '$nor'"),
        (["-k", "0"], "k is 0"),
        (["--fusion", "rff"], "Did you mean 'rrf'"),
    ],
)
def test_a_search_that_cannot_be_made(arguments, said) -> None:
    index("notes")
    told = quire("search", "boat", "-c", "n", *arguments, code=2)
    assert told.startswith("error: ")
    assert said in told
    assert told.count("\n") == 1


def test_documents_go_by_file_or_by_id(tmp_path) -> None:
    index("notes")
    gone = as_json("index", "rm", "notes/owl.md", str(tmp_path / "notes/page.html"), "x", "-c", "n")
    assert gone == {"num_deleted": 2}
    assert as_json("search", "boat", "-c", "n") == []


def test_documents_whose_file_is_gone_are_pruned(tmp_path) -> None:
    index("notes")
    with Collection.open("n", embedder=None) as opened:
        opened.add([{"id": str(tmp_path / "never"), "text": "a boat of another kind"}])
    (tmp_path / "notes/owl.md").unlink()
    (tmp_path / "notes/page.html").unlink()
    gone = [str(tmp_path / "notes" / name) for name in ("owl.md", "page.html")]
    dry = as_json("index", "prune", "-c", "n", "--dry-run")
    assert (dry["num_deleted"], sorted(dry["without_file"])) == (0, gone)
    told = quire("index", "prune", "-c", "n", "--dry-run")
    assert told.endswith("2 documents without a file would be deleted\n")
    assert sorted(told.splitlines()[:2]) == gone
    assert index("notes", "--prune")["num_deleted"] == 2
    assert quire("index", "prune", "-c", "n") == "0 documents without a file deleted\n"
    assert as_json("index", "stats", "-c", "n")["num_documents"] == 2
    assert [hit["document_id"] for hit in as_json("search", "boat", "-c", "n")] == [str(tmp_path / "never")]


def test_collections_are_listed_looked_after_and_deleted(home) -> None:
    assert "There is no collection" in quire("collections", "list")
    index("notes")
    assert [found["name"] for found in as_json("collections", "list")] == ["n"]
    assert as_json("index", "list") == as_json("collections", "list")
    assert as_json("index", "stats", "-c", "n")["num_documents"] == 3
    assert as_json("collections", "verify", "-c", "n") == []
    assert quire("collections", "snapshot", "copy", "-c", "n").strip() == "copy"
    quire("collections", "restore", "copy", "-c", "m")
    assert as_json("search", "boat", "-c", "m") == as_json("search", "boat", "-c", "n")
    assert as_json("collections", "rebuild", "-c", "m", "--embedder", "none") == []
    assert "--yes" in quire("collections", "delete", "-c", "m", code=2)
    quire("collections", "delete", "-c", "m", "--yes")
    assert [path.name for path in (home / "collections").iterdir()] == ["n"]
    assert "there is no collection" in quire("search", "boat", "-c", "m", code=2)
    assert "there is no collection" in quire("collections", "rebuild", "-c", "m", code=2)


def test_damage_is_named(home) -> None:
    index("notes")
    with sqlite3.connect(home / "collections/n/quire.db") as connection:
        connection.execute("DELETE FROM fields")
    connection.close()
    assert [found["what"] for found in as_json("index", "verify", "-c", "n", code=1)] == ["fields"]
    assert "filters do not know" in quire("index", "verify", "-c", "n", code=1)
    assert quire("collections", "rebuild", "-c", "n", "--embedder", "none") == "All is made again.\n"
    assert quire("index", "verify", "-c", "n") == "All is as it was written.\n"
