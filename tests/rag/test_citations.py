"""Marks lead to their passages however the text comes in pieces; marks that name none leave no trace."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.rag.citations import CitationReader
from tests.rag.chunks import CAEN, ORNE, VIRE

PASSAGES = [ORNE, VIRE, CAEN]


def read(*pieces: str) -> tuple[str, CitationReader]:
    reader = CitationReader(PASSAGES)
    return "".join([*map(reader.feed, pieces), reader.finish()]), reader


@pytest.mark.parametrize(
    ("said", "text", "named"),
    [
        ("1843 [1]", "1843 [1]", [1]),
        ("1843[1].", "1843[1].", [1]),
        ("long [2] and mapped [1]", "long [2] and mapped [1]", [2, 1]),
        ("both [1, 3]", "both [1, 3]", [1, 3]),
        ("both [1][3]", "both [1][3]", [1, 3]),
        ("partly [1,9]", "partly [1]", [1]),
        ("twice [2, 2]", "twice [2]", [2]),
        ("made up [4] here [0].", "made up here.", []),
        ("[7] first", " first", []),
        ("x[0] and y[12]", "x[0] and y[12]", []),
        ("a list [1, b], [] and [1234]", "a list [1, b], [] and [1234]", []),
        ("cut off [1", "cut off [1", []),
        ("", "", []),
    ],
)
def test_marks_are_read_and_those_of_no_passage_dropped(said, text, named):
    found, reader = read(said)
    assert found == text
    assert [citation.number for citation in reader.citations] == named
    assert all(citation.passage is PASSAGES[citation.number - 1] for citation in reader.citations)


def test_a_citation_says_where_its_mark_stands():
    text, reader = read("gone [9] long ", "[2] and [1", ", 3]")
    assert [(text[c.start : c.end], c.passage) for c in reader.citations] == [
        ("[2]", VIRE),
        ("[1, 3]", ORNE),
        ("[1, 3]", CAEN),
    ]


@given(st.text("ax1290[], \n", max_size=24), st.lists(st.integers(0, 24), max_size=8))
def test_pieces_make_no_difference(text, cuts):
    edges = [0, *sorted(cuts), len(text)]
    whole, once = read(text)
    pieced, again = read(*(text[start:end] for start, end in pairwise(edges)))
    assert pieced == whole
    assert again.citations == once.citations
    assert all(re.fullmatch(r"\[[\d, ]+\]", whole[c.start : c.end]) for c in once.citations)


def test_a_model_that_says_nothing_but_spaces_keeps_nobody_waiting():
    spaces = " " * 100_000  # looked at anew for each of them, these take minutes
    assert read(spaces, "x [2]", spaces)[0] == f"{spaces}x [2]{spaces}"


def test_text_comes_as_soon_as_it_is_certain():
    reader = CitationReader(PASSAGES)
    assert reader.feed("in 1843") == "in 1843"
    assert reader.feed(" [") == ""
    assert reader.feed("1") == ""
    assert reader.feed("] by") == " [1] by"
    assert reader.finish() == ""
