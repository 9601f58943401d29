"""The scores are SQuAD's, the questions have their answer in one of four passages, and bfloat16 agrees with itself."""

import gzip
import json

import pytest

from quire.bench.arithmetic import quality
from quire.bench.arithmetic.quality import Excerpt, Question


@pytest.fixture
def folder(tmp_path):
    rows = [
        {
            "title": title,
            "text": f"The {title} of number {number} was opened in {1900 + number} by nobody. "
            + "More is known. " * 40,
            "qas": [{"question": f"When was number {number} opened?", "answers": [str(1900 + number)]}],
        }
        for number, title in enumerate([*quality.HELD_OUT_TITLES, "Warsaw"] * 2)
    ]
    with gzip.open(tmp_path / "squad_a.json.gz", "wt") as file:
        json.dump(rows, file)
    with gzip.open(tmp_path / "wikitext2_valid.txt.gz", "wt") as file:
        file.write(
            "".join(f"\n = Article {n} = \n\n Text {n} of it . \n\n = = Part = = \n\n More . \n" for n in range(4))
        )
    return tmp_path


def test_a_question_comes_with_its_passage_among_three_others_of_held_out_articles(folder):
    questions = quality._questions(folder, 100)
    assert len(questions) == 8
    for question in questions:
        assert len(question.passages) == 1 + quality.NUM_DISTRACTORS
        assert [question.answers[0] in passage.text for passage in question.passages].count(True) == 1
        assert question.answers[0] in question.source.text
        assert {passage.document_id for passage in question.passages} <= set(quality.HELD_OUT_TITLES)
        assert max(len(passage.text.split()) for passage in question.passages) <= quality.PASSAGE_WORDS


def test_the_last_articles_of_wikitext_are_read(folder):
    texts = quality._wikitext(folder)
    assert ["Text 2" in texts[0], "Text 3" in texts[1], "= = Part = =" in texts[1], len(texts)] == [True, True, True, 2]


def test_answers_are_scored_as_squad_scores_them():
    excerpts = [Excerpt("a", str(n), "") for n in range(4)]
    asked = [Question("Who?", ["the Denver Broncos", "Broncos"], excerpts, excerpts[1])] * 3
    values = quality.scored(asked, ["Denver team [2]", "Broncos! [1]", "no idea [9]"]).values
    assert values == {"answer_f1": (0.5 + 1 + 0) / 3, "contained": 1 / 3, "citation": 1 / 3}


def test_every_side_reads_the_same_text_and_agrees_with_bfloat16_as_far_as_it_is_exact(monkeypatch):
    monkeypatch.delenv("QUIRE_DATA", raising=False)
    cases = {case.side: case for case in quality.cases(quick=True)}
    assert list(cases) == list(quality.SIDES)
    found = {side: cases[side].run().values for side in ("int8", "bf16")}
    assert found["bf16"]["top1_agreement"] == 1.0
    assert 0.9 < found["int8"]["top1_agreement"] < 1.0
    assert found["int8"]["perplexity"] == pytest.approx(found["bf16"]["perplexity"], rel=0.02)


def test_answers_are_asked_for_through_the_engine(folder):
    cases = {(case.name, case.side): case for case in quality.cases(data=str(folder), quick=True)}
    assert len(cases) == 2 * len(quality.SIDES)
    values = cases["answers", "bf16"].run().values
    assert set(values) == {"answer_f1", "contained", "citation"}
    assert values == cases["answers", "bf16"].run().values
