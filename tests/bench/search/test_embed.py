"""The bench measures what it says: vectors of all texts, compared with the right ones."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from quire.bench.harness import measure
from quire.bench.results import Report
from quire.bench.search import embed
from tests.retrieval.neural.conftest import minilm

__all__ = ["minilm"]


def test_the_least_cosine_is_of_directions() -> None:
    vectors = np.array([[2.0, 0.0], [1.0, 1.0]], dtype=np.float32)
    expected = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    assert embed._least_cosine(vectors, expected) == pytest.approx(0.5**0.5)


def test_paragraphs_and_their_first_questions_are_read(tmp_path: Path) -> None:
    entries = [{"text": f"text {i}", "qas": [{"question": f"q{i}"}, {"question": "another"}]} for i in range(3)]
    with gzip.open(tmp_path / "squad_a.json.gz", "wt") as file:
        json.dump(entries, file)
    assert embed._squad(tmp_path, 2) == (["text 0", "text 1"], ["q0", "q1"])


def test_our_side_has_the_vectors_of_the_judge(minilm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    monkeypatch.setattr(embed, "PEER", "no_such_peer")
    results = measure(embed.cases(quick=True), repetitions=1, warmup=0)
    assert [(result.name, result.side) for result in results] == [("paragraphs", "quire"), ("query", "quire")]
    assert all(result.summary("cosine_min").median > 0.999 for result in results)
    assert "GFLOP/s" in embed.explain(Report("embed", results))
