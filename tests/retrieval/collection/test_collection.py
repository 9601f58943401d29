"""What a collection is asked is answered as a dict and a look at every document would answer."""

import numpy as np
import pytest

from quire.errors import CollectionLockedError, ConfigError, InvalidRequestError, StorageError
from quire.retrieval.collection import Collection, WholeDocuments, Written, vectors
from quire.retrieval.store.files.segments import FoldPolicy
from tests.retrieval.fakes import CountsLetters, HashedWords, Lines

POEMS = [
    {"id": "owl", "text": "the owl and the pussycat\nwent to sea", "metadata": {"year": 1871, "by": "Lear"}},
    {"id": "tyger", "text": "tyger tyger burning bright", "metadata": {"year": 1794, "by": "Blake"}},
    {"id": "snark", "text": "the snark was a boojum\nyou see", "metadata": {"year": 1876}},
]
SMALL = FoldPolicy(min_rows=4, fanout=2, words_share=0.2)


@pytest.fixture
def poems(tmp_path) -> Collection:
    with Collection.open(tmp_path / "poems", embedder=HashedWords(), chunker=Lines()) as collection:
        collection.add(POEMS)
        yield collection


def found(hits) -> list[str]:
    return [hit.document_id for hit in hits]


def test_a_document_comes_back_as_it_was_given(poems) -> None:
    assert poems.get("owl") == POEMS[0]
    assert poems.get("nobody") is None
    assert poems.ids() == ["owl", "tyger", "snark"]
    assert len(poems) == poems.count() == 3
    assert "owl" in poems
    assert "nobody" not in poems


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_the_passage_that_says_it_is_found_and_where_it_lies(poems, mode) -> None:
    best = poems.search("burning tyger", 1, mode=mode)[0]
    assert (best.document_id, best.text, best.metadata) == ("tyger", POEMS[1]["text"], POEMS[1]["metadata"])
    sea = poems.search("went to sea", 1, mode=mode)[0]
    assert POEMS[0]["text"][sea.start : sea.end] == sea.text == "went to sea"
    assert set(sea.parts) == ({"dense", "lexical"} if mode == "hybrid" else {mode})
    assert {part.rank for part in sea.parts.values()} == {1}


def test_what_is_unchanged_costs_nothing_and_what_says_the_same_is_not_embedded_again(tmp_path) -> None:
    embedder = HashedWords()
    with Collection.open(tmp_path / "c", embedder=embedder, chunker=Lines()) as collection:
        assert collection.add(POEMS) == Written(num_added=3, num_chunks=5)
        version = collection.version
        assert collection.add(POEMS) == collection.update(POEMS) == Written(num_unchanged=3)
        assert (embedder.num_documents, collection.version) == (5, version)

        changed = {"id": "owl", "text": "a new first line\nwent to sea", "metadata": {"year": 1900}}
        with pytest.raises(InvalidRequestError, match=r"'owl' is there already.*use update"):
            collection.add([{"id": "new", "text": "not to be added"}, changed])
        assert "new" not in collection
        assert collection.update([changed]) == Written(num_updated=1, num_chunks=1)
        assert embedder.num_documents == 6
        sea = collection.search("went to sea", 1)[0]
        assert (sea.start, sea.metadata) == (17, {"year": 1900})
        assert collection.search("pussycat", mode="lexical") == []

        assert collection.update([changed | {"metadata": {"year": 1901}}]).num_updated == 1
        assert embedder.num_documents == 6
        assert found(collection.search("sea", filter={"year": 1901}, mode="lexical")) == ["owl"]
        collection.check_invariants()


def test_adding_again_leaves_what_another_chunker_cut_and_updating_cuts_it_anew(tmp_path) -> None:
    with Collection.open(tmp_path / "c", embedder=None, chunker=WholeDocuments()) as collection:
        collection.add(POEMS)
    with Collection.open(tmp_path / "c", embedder=None, chunker=Lines()) as collection:
        version = collection.version
        assert collection.add(POEMS) == Written(num_unchanged=3)
        assert (collection.version, collection.stats().num_chunks) == (version, 3)
        assert collection.update(POEMS).num_updated == 3
        assert collection.stats().num_chunks == 5


def test_deleted_documents_are_gone(poems) -> None:
    assert poems.delete(["owl", "nobody", "owl"]) == 1
    assert poems.get("owl") is None
    assert "owl" not in found(poems.search("the owl and the pussycat"))
    assert poems.delete(["owl"]) == 0
    poems.check_invariants()


def test_it_is_all_there_after_closing(tmp_path) -> None:
    options = {"embedder": HashedWords(), "chunker": Lines(), "policy": SMALL}
    with Collection.open(tmp_path / "c", **options) as collection:
        collection.add(POEMS)
        expected, version = collection.search("the sea"), collection.version
    with Collection.open(tmp_path / "c", **options) as collection:
        assert (collection.search("the sea"), collection.version) == (expected, version)
        collection.check_invariants()
    with pytest.raises(StorageError, match="closed"):
        collection.search("the sea")


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_many_segments_answer_as_one(tmp_path, mode) -> None:
    """Words in all documents count for BM25, whichever segment holds them."""
    rng = np.random.default_rng(5)
    words = [f"word{i}" for i in range(40)]
    documents = [{"id": str(i), "text": " ".join(rng.choice(words, 6))} for i in range(60)]
    embedder = HashedWords()
    with (
        Collection.open(tmp_path / "many", embedder=embedder, policy=SMALL) as many,
        Collection.open(tmp_path / "one", embedder=embedder) as one,
    ):
        for document in documents:
            many.add([document])
        one.add(documents)
        assert many.stats().num_segments > 2
        assert one.stats().num_segments == 0
        for query in ("word1 word2", "word7", "word30 word31 word32"):
            expected = one.search(query, 200, mode=mode)
            hits = many.search(query, 200, mode=mode)
            np.testing.assert_allclose([h.score for h in hits], [h.score for h in expected], atol=1e-5)
            assert sorted(found(hits)) == sorted(found(expected))


def test_without_an_embedder_it_searches_by_words(tmp_path) -> None:
    with Collection.open(tmp_path / "c", embedder=None) as collection:
        assert collection.search("anything") == []
        collection.add(POEMS)
        assert found(collection.search("tyger")) == ["tyger"]
        for mode in ("hybrid", "dense"):
            with pytest.raises(InvalidRequestError, match="has no vectors; allowed: lexical"):
                collection.search("tyger", mode=mode)
        with pytest.raises(InvalidRequestError, match="'cat' has a vector, but the collection is searched by words"):
            collection.add([{"id": "cat", "text": "cat", "vector": [1.0]}])
    with pytest.raises(ConfigError, match="made without an embedder"):
        Collection.open(tmp_path / "c", embedder=HashedWords())
    with Collection.open(tmp_path / "c") as collection:
        assert found(collection.search("tyger")) == ["tyger"]


def test_vectors_of_ones_own(tmp_path) -> None:
    axes = np.eye(3)
    documents = [{"id": name, "text": name, "vector": axis} for name, axis in zip("xyz", axes, strict=True)]
    with Collection.open(tmp_path / "c", embedder=None) as collection:
        collection.add(documents)
        hits = collection.search("", 2, vector=[0.1, 5, 1])
        assert found(hits) == ["y", "z"]
        assert hits[0].parts["dense"].score == pytest.approx(5 / np.sqrt(26.01))
        with pytest.raises(InvalidRequestError, match="give vector="):
            collection.search("y")
        with pytest.raises(InvalidRequestError, match="document 'w' has no vector"):
            collection.add([{"id": "w", "text": "w"}])
        assert collection.add(documents).num_unchanged == 3
        assert collection.update([documents[0] | {"vector": [0, 2, 0.1]}]).num_updated == 1
        assert found(collection.search("", 2, vector=[0, 1, 0])) == ["y", "x"]


def test_another_embedder_is_refused(poems, monkeypatch) -> None:
    poems.close()
    with pytest.raises(ConfigError, match="embedder is other 32, but the collection was made with hashed words 32"):
        Collection.open(poems.path, embedder=HashedWords(name="other"))
    monkeypatch.setattr(vectors, "load_embedder", lambda name: HashedWords(name=name))
    with Collection.open(poems.path, embedder="other") as collection:  # told by its name, and loaded when needed
        with pytest.raises(ConfigError, match="embedder is other 32, but the collection was made with hashed words 32"):
            collection.search("tyger")
        assert found(collection.search("tyger", mode="lexical")) == ["tyger"]
    with Collection.open(poems.path, embedder=None) as collection:
        assert found(collection.search("tyger", mode="lexical")) == ["tyger"]
        with pytest.raises(ConfigError, match="embedder=None"):
            collection.search("tyger")


def test_weights_and_reranking(poems) -> None:
    hits = poems.search("see the sea", rerank=CountsLetters())
    counts = [hit.text.count("s") for hit in hits]
    assert counts == sorted(counts, reverse=True) == [hit.score for hit in hits]
    assert {hit.parts["fused"].rank for hit in hits} == set(range(1, len(hits) + 1))
    by_words = poems.search("the tyger sea", mode="lexical")
    hits = poems.search("the tyger sea", weights={"dense": 0})
    assert found(hits)[: len(by_words)] == found(by_words)


def test_one_writer_and_many_readers(poems) -> None:
    with pytest.raises(CollectionLockedError, match=r"open for writing by process \d+.*read_only=True"):
        Collection.open(poems.path)
    with Collection.open(poems.path, embedder=HashedWords(), read_only=True) as reader:
        assert len(reader) == 3
        poems.add([{"id": "jabberwock", "text": "twas brillig"}])
        assert found(reader.search("brillig", 1)) == ["jabberwock"]
        assert reader.version == poems.version
        with pytest.raises(InvalidRequestError, match="reading only"):
            reader.delete(["owl"])


def test_where_vectors_come_from_can_be_said_before_the_first_document(tmp_path) -> None:
    with Collection.open(tmp_path / "own", embedder=HashedWords()) as collection:
        assert collection.stats().vectors is None
        collection.settle("own", 2)
        with pytest.raises(InvalidRequestError, match="settled on 'own'"):
            collection.settle("none")
    with Collection.open(tmp_path / "own") as collection:
        assert (collection.stats().vectors, collection.stats().dim, collection.best_mode) == ("own", 2, "hybrid")
        with pytest.raises(InvalidRequestError, match="no vector"):
            collection.add([{"id": "x", "text": "x"}])
        with pytest.raises(InvalidRequestError, match="allowed: 2"):
            collection.add([{"id": "x", "text": "x", "vector": [1, 2, 3]}])
        collection.add([{"id": "x", "text": "x", "vector": [1, 2]}])
    with Collection.open(tmp_path / "words") as collection:
        collection.settle("none")
        collection.add(POEMS)
        assert collection.best_mode == "lexical"
    with Collection.open(tmp_path / "made", embedder=HashedWords()) as collection:
        collection.settle("embedder")
        assert (collection.stats().dim, collection.best_mode) == (32, "hybrid")
    with Collection.open(tmp_path / "new", embedder=None) as collection:
        for source, dim in (("own", None), ("none", 3)):
            with pytest.raises(InvalidRequestError, match="dim is"):
                collection.settle(source, dim)
        with pytest.raises(ConfigError, match="needs an embedder"):
            collection.settle("embedder")
