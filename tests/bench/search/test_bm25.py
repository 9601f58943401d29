"""The sides of the comparison must do the same work, those that are installed."""

import gzip
from importlib.util import find_spec

import pytest

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


def test_passages_are_read_with_our_analyzer(tmp_path) -> None:
    with gzip.open(tmp_path / "passages.jsonl.gz", "wt") as file:
        file.write('{"text": "The running dogs"}\n{"text": "Cats"}\n')
    assert bm25._passages(tmp_path, 1) == [["run", "dog"]]
