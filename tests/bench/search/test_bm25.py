"""The sides of the comparison must do the same work, those that are installed."""

import gzip
from importlib.util import find_spec

import pytest

from quire.bench.harness import measure
from quire.bench.search import bm25
from tests.reference.bm25 import scores

SIDES = [side for side in (bm25.Quire, bm25.Bm25s, bm25.Tantivy) if find_spec(side.package)]


@pytest.mark.parametrize("side", SIDES)
def test_a_side_finds_the_best_documents_scores(side) -> None:
    documents = bm25._zipf(300)
    queries = bm25._queries(documents, 10)
    made = side(documents, queries)
    keyed = dict(enumerate(documents))
    every = [sorted(scores(keyed, query, "lucene", bm25.K1, bm25.B, 0.0).values(), reverse=True) for query in queries]
    found = made.top_scores(made.build())
    for row, expected in zip(found, every, strict=True):
        assert row.tolist() == pytest.approx([*expected, *[0.0] * 10][:10], rel=1e-5, abs=1e-6)


def test_documents_added_one_by_one_are_found_at_once_and_taken_out_again() -> None:
    adder = bm25.Adder(bm25._zipf(50), 20)
    for _ in range(2):
        assert adder.time_adds().values["found_at_once"] == 1
        assert len(adder.index) == 50


def test_a_dataset_is_read_with_our_analyzer(tmp_path) -> None:
    with gzip.open(tmp_path / "passages.jsonl.gz", "wt") as file:
        file.write('{"text": "The running dogs"}\n{"text": "Cats eating three small mice"}\n{"text": "Left out"}\n')
    documents, queries = bm25._corpus(str(tmp_path), 2, 3)
    assert documents == [["run", "dog"], ["cat", "eat", "three", "small", "mice"]]
    assert [set(query) <= set(documents[1]) and len(query) for query in queries] == [4, 4, 4]


def test_terms_are_those_that_a_text_of_them_has(tmp_path) -> None:
    (tmp_path / "notes.jsonl").write_text('{"text": "They OK\'ed what the owner\'s dogs did"}\n')
    documents, _ = bm25._corpus(str(tmp_path / "notes.jsonl"), 1, 0)
    assert documents == [["ok", "what", "owner", "dog", "did"]]
    assert bm25.Quire(documents, []).build().length(0) == 5


def test_each_size_is_measured_on_the_first_so_many_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    monkeypatch.setattr(bm25, "find_spec", lambda package: package == "quire" or None)
    made = bm25.cases(sizes=(20, 50), num_queries=4, num_adds=3)
    asked = [(case.name, case.params["documents"]) for case in made]
    assert asked == [("build", 20), ("search", 20), ("add", 20), ("build", 50), ("search", 50), ("add", 50)]
    found = measure(made, repetitions=1, warmup=0)
    assert all(result.values for result in found)
