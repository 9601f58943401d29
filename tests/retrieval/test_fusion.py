"""Fusion against values worked out by hand, and properties that hold for every input."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.errors import InvalidRequestError
from quire.retrieval.fusion import dbsf, rrf, weighted

RANKINGS = st.lists(
    st.dictionaries(st.integers(0, 20), st.floats(-1e6, 1e6), max_size=10).map(lambda scores: list(scores.items())),
    max_size=4,
)


def test_rrf_sums_reciprocal_ranks() -> None:
    words = [("a", 12.0), ("b", 7.0)]
    vectors = [("b", 0.9), ("c", 0.8)]
    assert rrf([words, vectors]) == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("c", pytest.approx(1 / 62)),
    ]


def test_rrf_ranks_by_score_even_when_the_list_is_not_sorted() -> None:
    assert [doc for doc, _ in rrf([[("worst", 1.0), ("best", 3.0), ("middle", 2.0)]])] == ["best", "middle", "worst"]


def test_weights_decide_between_two_lists() -> None:
    first, second = [("a", 1.0)], [("b", 1.0)]
    assert rrf([first, second], weights=[1, 2])[0][0] == "b"
    assert dbsf([first, second], weights=[2, 1])[0][0] == "a"


def test_min_max_puts_the_best_at_one_and_counts_absent_as_worst() -> None:
    fused = weighted([[("a", 30.0), ("b", 20.0), ("c", 10.0)], [("c", 5.0), ("d", 4.0)]], [0.5, 0.5])
    assert dict(fused) == {"a": 0.5, "b": 0.25, "c": 0.5, "d": 0.0}
    assert [doc for doc, _ in fused] == ["a", "c", "b", "d"]


def test_z_score_does_not_let_an_absent_id_beat_a_bad_hit() -> None:
    fused = weighted([[("a", 3.0), ("b", 2.0), ("c", 1.0)], [("x", 1.0), ("a", 0.0)]], normalise="z_score")
    deviation = math.sqrt(2 / 3)
    assert dict(fused) == {
        "a": pytest.approx(1 / deviation - 1),
        "b": pytest.approx(0 - 1),
        "c": pytest.approx(-1 / deviation - 1),
        "x": pytest.approx(-1 / deviation + 1),
    }


def test_dbsf_maps_mean_to_half_and_three_sigma_to_the_ends() -> None:
    scores = [1.0, 2.0, 3.0]
    deviation = math.sqrt(2 / 3)
    assert dict(dbsf([list(zip("abc", scores, strict=True))])) == {
        "a": pytest.approx(0.5 - 1 / (6 * deviation)),
        "b": pytest.approx(0.5),
        "c": pytest.approx(0.5 + 1 / (6 * deviation)),
    }


def test_dbsf_cuts_an_outlier_at_one() -> None:
    fused = dict(dbsf([[("outlier", 1000.0), *((i, 1.0) for i in range(99))]]))
    assert fused["outlier"] == 1.0


def test_equal_scores_keep_their_order_and_are_all_found() -> None:
    hits = [("z", 0.3), ("a", 0.3), ("m", 0.3)]
    assert weighted([hits]) == [("z", 1.0), ("a", 1.0), ("m", 1.0)]
    assert weighted([hits], normalise="z_score") == [("z", 0.0), ("a", 0.0), ("m", 0.0)]
    assert dbsf([hits]) == [("z", 0.5), ("a", 0.5), ("m", 0.5)]


def test_nothing_in_nothing_out() -> None:
    for fuse in (rrf, weighted, dbsf):
        assert fuse([]) == fuse([[], []]) == []


@given(RANKINGS)
def test_every_method_returns_every_id_once_best_first(rankings: list[list[tuple[int, float]]]) -> None:
    for fuse in (rrf, weighted, dbsf, lambda lists: weighted(lists, normalise="z_score")):
        fused = fuse(rankings)
        scores = [score for _, score in fused]
        assert scores == sorted(scores, reverse=True)
        assert sorted(doc for doc, _ in fused) == sorted({doc for ranking in rankings for doc, _ in ranking})


@given(RANKINGS, st.floats(0.5, 100), st.floats(-1e3, 1e3))
def test_normalised_fusion_does_not_care_for_a_list_s_scale(
    rankings: list[list[tuple[int, float]]], scale: float, shift: float
) -> None:
    moved = [[(doc, round(score) * scale + shift) for doc, score in ranking] for ranking in rankings]
    whole = [[(doc, float(round(score))) for doc, score in ranking] for ranking in rankings]
    for fuse in (weighted, dbsf):
        expected = dict(fuse(whole))
        assert dict(fuse(moved)) == {doc: pytest.approx(score, abs=1e-6) for doc, score in expected.items()}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rrf([[("a", math.nan)]]), "list 0 gives 'a' the score nan"),
        (lambda: dbsf([[], [("a", math.inf)]]), "list 1 gives 'a' the score inf"),
        (lambda: rrf([[("a", 1.0), ("a", 2.0)]]), "list 0 holds 'a' twice"),
        (lambda: rrf([[]], weights=[1, 2]), "1 lists and 2 weights"),
        (lambda: weighted([[]], [-1]), "weights is [-1]"),
        (lambda: rrf([[]], k=-1), "k is -1"),
        (lambda: weighted([[]], normalise="minmax"), "Did you mean 'min_max'?"),
    ],
)
def test_wrong_input_is_named(call, message) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        call()
    assert message in str(caught.value)
