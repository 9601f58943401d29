"""Whatever a caller gives, it is answered with a result that is defined or with one sentence, and nothing is broken."""

import re

import numpy as np
import pytest

from quire.errors import InvalidRequestError, StorageError
from quire.retrieval.collection import Collection, collection_names, place_of
from tests.retrieval.fakes import HashedWords, Lines


@pytest.fixture
def collection(tmp_path) -> Collection:
    with Collection.open(tmp_path / "c", embedder=HashedWords(), chunker=Lines()) as collection:
        collection.add([{"id": "one", "text": "the first"}, {"id": "two", "text": "the second"}])
        yield collection
        assert collection.ids()[:2] == ["one", "two"]
        collection.check_invariants()


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ("text", "give a list"),
        ({"id": "x", "text": "x"}, "give a list"),
        ([{"id": "x"}], "allowed: a dict with id and text"),
        (["text"], "allowed: a dict with id and text"),
        ([{"id": "x", "text": "x", "titel": "y"}], "'titel'; allowed: id, text, metadata, kind, vector"),
        ([{"id": 7, "text": "x"}], "an id is 7"),
        ([{"id": "", "text": "x"}], "an id is ''"),
        ([{"id": "x" * 2000, "text": "x"}], "allowed: a str of 1 to 1024"),
        ([{"id": "x", "text": b"bytes"}], "text of document 'x' is b'bytes'"),
        ([{"id": "x", "text": "half \ud800"}], r"has '\ud800' at 5, half of a character"),
        ([{"id": "\udcff", "text": "x"}], "half of a character"),
        ([{"id": "x", "text": "x"}, {"id": "x", "text": "y"}], "id 'x' is given twice"),
        ([{"id": "x", "text": "x", "kind": "pdf"}], "kind is 'pdf'; allowed: text, markdown, html"),
        ([{"id": "x", "text": "x", "metadata": ["y"]}], "metadata of document 'x' is ['y']"),
        ([{"id": "x", "text": "x", "metadata": {"y": float("nan")}}], "metadata.y is nan"),
        ([{"id": "x", "text": "x", "metadata": {"y": 2**70}}], "metadata.y is 1180591620717411303424"),
        ([{"id": "x", "text": "x", "metadata": {"y": {"$z": 1}}}], "metadata.y has the key '$z'"),
        ([{"id": "x", "text": "x", "metadata": {"y": object}}], "metadata.y is <class 'object'>"),
        ([{"id": "x", "text": "x", "metadata": {"y": "\ud800"}}], "surrogates not allowed"),
        ([{"id": "x", "text": "x", "metadata": {"y": "z" * 70_000}}], "allowed: up to 65,536"),
        ([{"id": "x", "text": "x", "vector": "y"}], "allowed: a list of numbers"),
        ([{"id": "x", "text": "x", "vector": [[1.0]]}], "allowed: a list of numbers"),
        ([{"id": "x", "text": "x", "vector": [0.0] * 32}], "all zeros"),
        ([{"id": "x", "text": "x", "vector": [np.nan] * 32}], "not finite"),
        ([{"id": "x", "text": "x", "vector": [np.inf] * 32}], "not finite"),
        ([{"id": "x", "text": "x", "vector": [1.0] * 31}], "has 31 numbers; allowed: 32"),
    ],
)
def test_documents_that_cannot_be_kept(collection, documents, said) -> None:
    version = collection.version
    for write in (collection.add, collection.update):
        with pytest.raises(InvalidRequestError, match=re.escape(said)):
            write(documents)
    assert (collection.ids(), collection.version) == (["one", "two"], version)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"query": 7}, "query is 7"),
        ({"query": "\ud800"}, "half of a character"),
        ({"k": 0}, "k is 0; allowed: a whole number from 1"),
        ({"k": 2.5}, "k is 2.5"),
        ({"depth": 10**9}, "depth is 1000000000"),
        ({"mode": "hybird"}, "Did you mean 'hybrid'?"),
        ({"fusion": "rff"}, "Did you mean 'rrf'?"),
        ({"weights": {"words": 1}}, "weights is 'words'; allowed: dense, lexical"),
        ({"weights": {"dense": -1}}, "weight"),
        ({"vector": [1.0]}, "vector has 1 numbers; allowed: 32"),
        ({"vector": [0.0] * 32}, "vector is all zeros"),
        ({"vector": [np.nan] * 32}, "vector is not finite"),
        ({"vector": [1.0] * 32, "mode": "lexical"}, "vector is given, but"),
        ({"filter": ["x"]}, "filter has the part ['x']"),
        ({"filter": {"$nor": []}}, "Did you mean '$"),
        ({"filter": {"x": {"$gte": None}}}, "'x' has $gte None; allowed: a number or text"),
        ({"filter": {"x": {"$exist": True}}}, "Did you mean '$exists'?"),
        ({"filter": {"x": {"$exists": 1}}}, "allowed: true or false"),
        ({"filter": {"x": {}}}, "'x' has {}"),
        ({"filter": {"x": [1]}}, "$in for several"),
        ({"filter": {"x": {"$in": 1}}}, "$in 1; allowed: a list"),
        ({"filter": {"$and": []}}, "allowed: a list of filters"),
        ({"filter": {"$not": {}}}, "filter has the part {}"),
        ({"filter": {"x": "\ud800"}}, "no valid Unicode"),
        ({"filter": {"\ud800": 1}}, "no valid Unicode"),
        ({"filter": {"x": float("nan")}}, "'x' has nan"),
    ],
)
def test_searches_that_cannot_be_made(collection, asked, said) -> None:
    with pytest.raises(InvalidRequestError, match=re.escape(said)):
        collection.search(**{"query": "first"} | asked)


def test_a_filter_that_never_ends(collection) -> None:
    deep: dict = {"x": 1}
    for _ in range(10_000):
        deep = {"$not": deep}
    with pytest.raises(InvalidRequestError, match="nested more than"):
        collection.search("first", filter=deep)


def test_numbers_that_no_column_holds_are_above_or_below_all_others(collection) -> None:
    collection.add([{"id": "three", "text": "third", "metadata": {"n": 3}}])
    huge = 10**400
    for condition in ({"$lt": huge}, {"$gt": -huge}, {"$lt": huge, "$ne": huge}, {"$lt": 2**64, "$gte": -(2**64)}):
        assert [hit.document_id for hit in collection.search("third", filter={"n": condition})] == ["three"], condition
    assert collection.search("third", filter={"n": huge}) == []


@pytest.mark.parametrize("query", ["", "  \n", "\0"])
@pytest.mark.parametrize("mode", [None, "hybrid", "dense", "lexical"])
def test_a_query_that_says_nothing_finds_nothing_or_something_but_does_not_fail(collection, query, mode) -> None:
    hits = collection.search(query, mode=mode)
    assert len(hits) == (0 if not query.strip() or mode == "lexical" else 2)


def test_more_than_there_is(collection) -> None:
    assert len(collection.search("first second", 10_000)) == 2
    assert collection.search("first", filter={"lang": "en"}) == []
    assert collection.delete([]) == 0
    with pytest.raises(InvalidRequestError, match="single text"):
        collection.delete("one")


def test_texts_of_every_kind(collection) -> None:
    odd = {"nul": "a\0b", "blank": " \n\t", "empty": "", "emoji": "🦉 " * 3, "rtl": "שלום", "nothing": "\u200b"}
    collection.add([{"id": name, "text": text} for name, text in odd.items()])
    assert {name: collection.get(name)["text"] for name in odd} == odd


def test_a_document_of_ten_megabytes_without_an_end_of_line(tmp_path) -> None:
    text = "word " * 2_000_000 + "needle"
    with Collection.open(tmp_path / "large", embedder=None) as collection:
        collection.add([{"id": "large", "text": text}])
        hit = collection.search("needle")[0]
        assert text[hit.start : hit.end] == hit.text
        assert hit.end == len(text)
        assert collection.get("large")["text"] == text


def test_an_embedder_that_makes_nonsense_changes_nothing(tmp_path) -> None:
    embedder = HashedWords()
    with Collection.open(tmp_path / "c", embedder=embedder) as collection:
        embedder.embed_documents = lambda texts: np.zeros((len(texts), 32), dtype=np.float32)
        with pytest.raises(InvalidRequestError, match="the vector of 'x' is all zeros"):
            collection.add([{"id": "x", "text": "x"}])
        assert (len(collection), collection.search("x")) == (0, [])


def test_places(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("QUIRE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert place_of("notes") == tmp_path / "home" / "collections" / "notes"
    assert str(place_of("./notes")) == "notes"
    assert collection_names() == []
    Collection.open("notes", embedder=None).close()
    assert collection_names() == ["notes"]
    for name in ("", "..", ".hidden", "a" * 101, "a\0b"):
        with pytest.raises(InvalidRequestError, match="allowed"):
            place_of(name)
    with pytest.raises(InvalidRequestError, match="there is no collection at"):
        Collection.open("other", create=False)
    with pytest.raises(InvalidRequestError, match="there is no collection at"):
        Collection.open("other", read_only=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InvalidRequestError, match="holds something else"):
        Collection.open("./mine")
    with pytest.raises((InvalidRequestError, StorageError)):
        Collection.open("./mine/letter.txt")
