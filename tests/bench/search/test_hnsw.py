"""Recall by brute force, every point of the grid as a case, and memory given back behind each of them."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from quire.bench.harness import measure
from quire.bench.search import hnsw, vectors
from quire.bench.search.vector_sides import ChangingSide, SavedSide, all_sides
from quire.bench.search.vectors import Data, unit
from tests.retrieval.fakes import HashedWords

ROWS = unit(np.random.default_rng(1).normal(size=(400, 16)))


def test_recall_is_the_share_of_the_ten_nearest_and_ties_count() -> None:
    rows = unit(np.random.default_rng(0).normal(size=(50, 8)))
    data = Data(rows, rows[:3])
    nearest = np.argsort(-(data.queries @ rows.T), axis=1)
    assert data.recall(nearest[:, :10], None) == 1
    assert data.recall(np.hstack([nearest[:, :7], nearest[:, -3:]]), None) == pytest.approx(0.7)
    evens = np.arange(50) % 2 == 0
    allowed = np.array([[key for key in row if evens[key]][:10] for row in nearest])
    assert data.recall(allowed, evens) == 1
    twins = Data(np.vstack([rows, rows[:20]]), rows[:1])
    ten = np.argsort(-(twins.queries @ twins.vectors.T), axis=1)[:, :12]
    assert twins.recall(ten[:, [*range(9), 10]], None) == 1  # the eleventh is as near as the tenth: its twin


def test_each_size_m_and_ef_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    monkeypatch.setattr(hnsw, "find_spec", lambda package: package == "quire" or None)
    monkeypatch.setattr(vectors, "NUM_QUERIES", 20)
    made = hnsw.cases(sizes=(200, 400), M=(4, 8), efs=(12,), num_threads=1)
    points = {(case.params["vectors"], case.params["M"], case.params["ef"]) for case in made if "ef" in case.params}
    assert len(points) == 4
    results = [result for result in measure(made, repetitions=1, warmup=0) if "recall" in result.values]
    assert all(0 < result.values["recall"][0] <= 1 for result in results)
    for size in (200, 400):
        recall = {
            result.params["M"]: result.values["recall"][0]
            for result in results
            if (result.name, result.side, result.params["vectors"]) == ("search", "quire f32", size)
        }
        assert recall[8] >= recall[4]
    sides = {case.close.__self__ for case in made if case.close is not None}  # type: ignore[attr-defined]
    assert len(sides) == 8  # two of ours for each size and M
    assert all(side._index is None for side in sides)


NAMES = [side.name for side in all_sides(ROWS, 8, 1) if find_spec(side.package)]


def _side(name: str) -> SavedSide:
    return next(side for side in all_sides(ROWS, 8, 1) if side.name == name)


@pytest.mark.parametrize("name", NAMES)
def test_a_side_that_is_saved_and_changed_finds_what_it_found(name: str) -> None:
    data, side = Data(ROWS, ROWS[:10]), _side(name)
    assert hnsw.Build(side)().values["build_s"] > 0
    loaded = hnsw._load(side).values
    assert loaded["load_ms"] > 0
    assert 1e6 * loaded["file_mb"] > ROWS.size  # a byte a number at least
    assert loaded.get("ram_mb", 1) > 0
    if isinstance(side, ChangingSide):
        changed = hnsw.Change(side, data, (10, 60), 1)
        assert changed.at(60) is changed.at(60)
        assert abs(changed.at(60).values["recall_lost"]) < 0.02
        assert data.recall(side.search(data.queries, 60, 1, None), None) > 0.97


def test_what_is_found_again_after_a_change_is_told_by_recall() -> None:
    side = _side("quire f32")
    assert isinstance(side, ChangingSide)
    change = hnsw.Change(side, Data(ROWS, ROWS[:10]), (40,), 1)
    side.insert = lambda ids: None  # type: ignore[method-assign]
    lost = change.at(40).values
    assert 0.1 < lost["recall_lost"] < 0.35  # about a fifth is gone
    assert lost["recall_lost_compacted"] == pytest.approx(lost["recall_lost"], abs=0.02)


def test_a_rate_at_a_recall_lies_between_those_that_were_measured() -> None:
    points = [(0.9, 1000.0), (0.99, 10.0)]
    assert hnsw._rate_at(0.9, points) == pytest.approx(1000)
    assert hnsw._rate_at(1 - 10**-1.5, points) == pytest.approx(100)
    assert hnsw._rate_at(0.8, points) == pytest.approx(1000)
    assert hnsw._rate_at(0.995, points) is None
    assert hnsw._rate_at(0.5, []) is None


def test_texts_and_questions_of_a_dataset_become_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quire.retrieval.neural.embedder.Embedder", HashedWords)
    docs = [["1", "the owl and the pussycat"], ["2", "tyger tyger"], ["3", "a boojum"]]
    judged = {"docs": docs, "queries": {"q": "tyger"}, "qrels": {"q": {"2": 1}}}
    (tmp_path / "poems.json").write_text(json.dumps(judged))
    data = Data.load(str(tmp_path / "poems.json"), 2)
    assert data.vectors.shape == (2, 32)
    assert (data.queries @ data.vectors.T).argmax() == 1


def test_vectors_of_files_are_read_as_they_are(tmp_path: Path) -> None:
    for name, count in zip(vectors.FILES, (5, 3), strict=True):
        np.save(tmp_path / name, np.full((count, 4), 2, dtype=np.float16))
    data = Data.load(str(tmp_path), 4)
    assert data.vectors.tolist() == [[0.5] * 4] * 4
    assert data.queries.shape == (3, 4)
