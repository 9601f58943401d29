"""nDCG as done by hand, and how a judged collection is read."""

import gzip
import json
import math

import pytest

from quire.bench.search.retrieval_quality import _Probe, cases, ndcg
from quire.errors import ConfigError


def test_ndcg_by_hand() -> None:
    grades = {"a": 2, "b": 1, "c": 0}
    best = 2 + 1 / math.log2(3)
    assert ndcg(["a", "b", "c"], grades) == pytest.approx(1)
    assert ndcg(["b", "x", "a"], grades) == pytest.approx((1 + 2 / 2) / best)
    assert ndcg(["x"] * 10 + ["a"], grades) == 0
    assert ndcg([], grades) == 0


def test_a_judged_collection_is_read(tmp_path) -> None:
    judged = {
        "docs": [["1", "the owl went to sea"], ["2", "tyger burning bright"], ["3", "a boojum"]],
        "queries": {"q": "burning tyger", "r": "nobody judged this"},
        "qrels": {"q": {"2": 1}, "r": {"1": 0}},
    }
    (tmp_path / "cranfield.json.gz").write_bytes(gzip.compress(json.dumps(judged).encode()))
    probe = _Probe(tmp_path, "cranfield", 10)
    assert [question for question, _ in probe.judged.questions] == ["burning tyger"]
    assert {case.params["collection"] for case in cases(data=str(tmp_path), only="cranfield")} == {"cranfield"}
    both = cases(data=str(tmp_path), only="cisi,cranfield")
    assert {case.params["collection"] for case in both} == {"cisi", "cranfield"}
    with pytest.raises(ConfigError, match="only has 'crane'; allowed: cranfield, cisi"):
        cases(data=str(tmp_path), only="cranfield,crane")
    with pytest.raises(ConfigError, match=r"has no cranfield\.json\.gz"):
        cases(data=str(tmp_path / "nowhere"))
