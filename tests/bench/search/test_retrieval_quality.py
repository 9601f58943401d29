"""nDCG as done by hand, and which questions and documents of a dataset it is computed of."""

import gzip
import json
import math
from pathlib import Path

import pytest

from quire.bench.datasets import open_dataset
from quire.bench.search.retrieval_quality import _read, cases, ndcg
from quire.errors import ConfigError


def test_ndcg_by_hand() -> None:
    grades = {"a": 2, "b": 1, "c": 0}
    best = 2 + 1 / math.log2(3)
    assert ndcg(["a", "b", "c"], grades) == pytest.approx(1)
    assert ndcg(["b", "x", "a"], grades) == pytest.approx((1 + 2 / 2) / best)
    assert ndcg(["x"] * 10 + ["a"], grades) == 0
    assert ndcg([], grades) == 0


JUDGED = {
    "docs": [["1", "the owl went to sea"], ["2", "tyger burning bright"], ["3", "a boojum"]],
    "queries": {"q": "burning tyger", "r": "nobody judged this"},
    "qrels": {"q": {"2": 1}, "r": {"1": 0}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cranfield", "cisi", "vaswani"):
        (tmp_path / f"{name}.json.gz").write_bytes(gzip.compress(json.dumps(JUDGED).encode()))
    squad = [{"text": f"text {i}", "qas": [{"question": f"{i}?"}] * 5} for i in range(20)]
    (tmp_path / "squad_a.json.gz").write_bytes(gzip.compress(json.dumps(squad).encode()))
    return tmp_path


def test_a_folder_has_the_collections_that_are_named(folder: Path) -> None:
    both = cases(data=str(folder), only="cisi,cranfield")
    assert {case.params["collection"] for case in both} == {"cisi", "cranfield"}
    assert {case.params["collection"] for case in cases(data=str(folder))} == {
        "cranfield",
        "cisi",
        "vaswani",
        "squad_a",
    }
    with pytest.raises(ConfigError, match="only has 'crane'; allowed: cranfield, cisi"):
        cases(data=str(folder), only="cranfield,crane")
    with pytest.raises(ConfigError, match=r"There is no .*nowhere"):
        cases(data=str(folder / "nowhere"))
    with pytest.raises(ConfigError, match="only is 'cisi', but"):
        cases(data=str(folder / "cisi.json.gz"), only="cisi")


def test_any_dataset_that_is_judged_and_its_sizes(folder: Path) -> None:
    sized = cases(data=f"{folder / 'cisi.json.gz'}:judged", sizes=(1, 2))
    assert {tuple(case.params.items()) for case in sized} == {
        (("collection", "cisi"), ("documents", 1)),
        (("collection", "cisi"), ("documents", 2)),
    }


def test_what_answers_is_never_left_out(folder: Path) -> None:
    dataset = open_dataset(str(folder / "cranfield.json.gz"))
    whole, two = _read(dataset, None, 10), _read(dataset, 2, 10)
    assert [question.text for question in whole.questions] == ["burning tyger"]
    assert list(whole.texts) == ["1", "2", "3"]
    assert list(two.texts) == ["2", "1"]
    squad = _read(open_dataset(str(folder / "squad_a.json.gz")), None, 10)
    assert [question.text for question in squad.questions] == [f"{i}?" for i in range(0, 20, 2)]  # from all over it
    with pytest.raises(ConfigError, match="20 documents answer questions"):
        _read(open_dataset(str(folder / "squad_a.json.gz")), 3, 1000)
    (folder / "plain.jsonl").write_text('{"text": "t"}\n')
    with pytest.raises(ConfigError, match="no questions that were judged"):
        _read(open_dataset(str(folder / "plain.jsonl")), None, 10)
