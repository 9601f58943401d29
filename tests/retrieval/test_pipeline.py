"""Asked through a pipeline, a collection answers as it does itself; what was asked before is not computed again."""

import pytest

from quire import Collection, RetrievalPipeline
from quire.errors import InvalidRequestError
from tests.retrieval.fakes import CountsLetters, HashedWords

TEXTS = ["the owl and the pussycat", "tyger tyger burning bright", "the snark was a boojum", "a tyger and an owl"]


class CountingEmbedder(HashedWords):
    num_queries = 0

    def embed_queries(self, texts):
        self.num_queries += len(texts)
        return super().embed_queries(texts)


@pytest.fixture
def embedder() -> CountingEmbedder:
    return CountingEmbedder()


@pytest.fixture
def collection(tmp_path, embedder) -> Collection:
    with Collection.open(tmp_path / "c", embedder=embedder) as collection:
        collection.add([{"id": str(i), "text": text, "metadata": {"i": i}} for i, text in enumerate(TEXTS)])
        embedder.num_queries = 0
        yield collection


def test_it_answers_as_the_collection_does(collection) -> None:
    pipeline = RetrievalPipeline(collection, k=3, fusion="dbsf", weights={"lexical": 2.0}, rerank=CountsLetters())
    own = {"fusion": "dbsf", "weights": {"lexical": 2.0}, "rerank": CountsLetters()}
    for _ in range(2):
        assert list(pipeline.retrieve("tyger owl").hits) == collection.search("tyger owl", 3, **own)
        found = pipeline.retrieve("tyger owl", 1, filter={"i": {"$gte": 2}})
        assert list(found.hits) == collection.search("tyger owl", 1, filter={"i": {"$gte": 2}}, **own)
    assert pipeline.stats().num_from_cache == 2


def test_an_answer_is_kept_until_the_collection_changes(collection, embedder) -> None:
    pipeline = RetrievalPipeline(collection)
    first, second = pipeline.retrieve("tyger"), pipeline.retrieve("tyger")
    assert (first.is_from_cache, second.is_from_cache, embedder.num_queries) == (False, True, 1)
    assert second.hits == first.hits
    assert set(first.timings_ms) == {"embed", "dense", "lexical", "fuse", "fetch", "total"}
    assert set(second.timings_ms) == {"total"}
    collection.update([{"id": "1", "text": "no more", "metadata": {}}])
    third = pipeline.retrieve("tyger")
    assert (third.is_from_cache, third.version) == (False, collection.version)
    assert [hit.document_id for hit in third.hits if "lexical" in hit.parts] == ["3"]
    assert pipeline.stats().num_queries == 3


def test_what_differs_in_the_question_is_another_answer(collection) -> None:
    pipeline = RetrievalPipeline(collection)
    asked = [("tyger", 1, None), ("tyger", 2, None), ("Tyger", 1, None), ("tyger", 1, {"i": 1}), ("tyger", 1, {"i": 3})]
    for query, k, tree in asked:
        assert not pipeline.retrieve(query, k, filter=tree).is_from_cache
    assert pipeline.retrieve("tyger", 1, filter={"i": 3}).hits[0].document_id == "3"
    assert pipeline.stats().num_from_cache == 1


def test_old_answers_make_room(collection) -> None:
    small = RetrievalPipeline(collection, k=1, cache_tokens=15)
    for query in ("owl", "tyger", "snark"):
        small.retrieve(query)
        assert small.stats().cached_tokens <= 15
    assert small.retrieve("snark").is_from_cache
    assert not small.retrieve("owl").is_from_cache
    nothing_kept = RetrievalPipeline(collection, cache_tokens=0)
    assert [nothing_kept.retrieve("owl").is_from_cache for _ in range(2)] == [False, False]


def test_what_is_hot(collection) -> None:
    pipeline = RetrievalPipeline(collection, k=1, mode="lexical")
    for query in ["boojum"] * 4 + ["pussycat", " pussycat "]:
        pipeline.retrieve(query)
    assert pipeline.hot_queries() == [("boojum", 4), ("pussycat", 2)]
    assert [count for _, count in pipeline.hot_chunks(2)] == [4, 2]
    assert pipeline.hot_chunks(1)[0][0] == pipeline.retrieve("boojum").hits[0].chunk_id
    pipeline.decay(0.5)
    assert pipeline.hot_queries(1) == [("boojum", 2)]


def test_bad_questions(collection) -> None:
    with pytest.raises(InvalidRequestError, match="Did you mean 'rrf'"):
        RetrievalPipeline(collection, fusion="rff")
    pipeline = RetrievalPipeline(collection)
    with pytest.raises(InvalidRequestError, match="k is 0"):
        pipeline.retrieve("tyger", 0)
    with pytest.raises(InvalidRequestError, match="filter"):
        pipeline.retrieve("tyger", filter=["i"])
    assert pipeline.retrieve("  ").hits == ()
