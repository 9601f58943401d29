"""Collections with questions that were judged, as their publishers write them."""

import gzip
import json
from pathlib import Path

import pytest

from quire.bench.datasets import Document, Question, open_dataset
from quire.errors import ConfigError

BEIR = {
    "corpus.jsonl": [
        {"_id": "d1", "title": "Owls", "text": "They fly at night.", "metadata": {}},
        {"_id": "d2", "title": "", "text": "A pea-green boat."},
    ],
    "queries.jsonl": [
        {"_id": "q1", "text": "who flies?", "metadata": {}},
        {"_id": "q2", "text": "which boat?"},
        {"_id": "q3", "text": "of another split"},
    ],
}


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    for name, entries in BEIR.items():
        (tmp_path / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td2\t2\nq2\td1\t0\nq1\td1\t1\n")
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq3\td1\t1\nunknown\td1\t1\n")
    return tmp_path


def test_a_folder_of_beir(beir: Path) -> None:
    dataset = open_dataset(str(beir))
    assert list(dataset.documents()) == [
        Document("d1", "They fly at night.", "Owls"),
        Document("d2", "A pea-green boat."),
    ]
    assert list(dataset.questions()) == [
        Question("q2", "which boat?", {"d2": 2.0}),
        Question("q1", "who flies?", {"d1": 1.0}),
    ]


def test_another_split_is_named_by_its_file(beir: Path) -> None:
    dataset = open_dataset(str(beir / "qrels" / "train.tsv"))
    assert [document.id for document in dataset.documents()] == ["d1", "d2"]
    assert list(dataset.questions()) == [Question("q3", "of another split", {"d1": 1.0})]


def test_what_is_wrong_in_a_folder_of_beir_is_named(beir: Path) -> None:
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\tgood\n")
    with pytest.raises(ConfigError, match=r"test\.tsv:2: the grade is 'good'"):
        list(open_dataset(str(beir)).questions())
    (beir / "corpus.jsonl").write_text('{"_id": "d1", "body": "x"}\n')
    with pytest.raises(ConfigError, match=r"corpus\.jsonl:1: no field text; it has _id, body"):
        list(open_dataset(str(beir)).documents())
    (beir / "queries.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"has no queries\.jsonl"):
        list(open_dataset(str(beir)).questions())


def test_a_folder_of_ms_marco(tmp_path: Path) -> None:
    (tmp_path / "collection.tsv").write_text("0\tThe owl\twith a tab\n1\tThe cat\n")
    (tmp_path / "queries.dev.small.tsv.gz").write_bytes(gzip.compress(b"7\twhich bird?\n8\tnobody judged\n"))
    (tmp_path / "qrels.dev.small.tsv").write_text("7\t0\t0\t1\n")
    (tmp_path / "queries.train.tsv").write_text("9\tanother split\n")
    (tmp_path / "qrels.train.tsv").write_text("9 0 1 1\n")
    dataset = open_dataset(str(tmp_path))
    assert list(dataset.documents()) == [Document("0", "The owl\twith a tab"), Document("1", "The cat")]
    assert list(dataset.questions()) == [Question("7", "which bird?", {"0": 1.0})]
    (tmp_path / "queries.tsv").write_text("9\tanother split\n")
    (tmp_path / "qrels.tsv").write_text("9 0 1 1\n")
    assert list(dataset.questions()) == [Question("9", "another split", {"1": 1.0})]


def test_one_object_with_documents_queries_and_grades(tmp_path: Path) -> None:
    path = tmp_path / "small.json.gz"
    judged = {"docs": [["1", "owl"], ["2", "tyger"]], "queries": {"q": "who burns?", "r": "?"}}
    path.write_bytes(gzip.compress(json.dumps(judged | {"qrels": {"q": {"2": 1, "1": 0}, "r": {"1": 0}}}).encode()))
    dataset = open_dataset(str(path))
    assert [document.text for document in dataset.documents()] == ["owl", "tyger"]
    assert list(dataset.questions()) == [Question("q", "who burns?", {"2": 1.0})]
    path.write_bytes(gzip.compress(b'{"docs": []}'))
    with pytest.raises(ConfigError, match="no JSON object with docs, queries and qrels"):
        list(dataset.documents())


def test_paragraphs_with_questions(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps([{"title": "T", "text": "a", "qas": [{"question": "x?"}, {"question": "y?"}]}]))
    dataset = open_dataset(str(path))
    assert list(dataset.documents()) == [Document("0", "a")]
    assert [(q.text, q.grades) for q in dataset.questions()] == [("x?", {"0": 1.0}), ("y?", {"0": 1.0})]
    path.write_text('[{"text": "a"}]')
    with pytest.raises(ConfigError, match="paragraphs with text and qas"):
        list(dataset.documents())


def test_reviews_in_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl.gz"
    entries = [
        {"reviewerID": "A", "asin": "B1", "reviewText": "Works.", "summary": "Five stars", "overall": 5.0},
        {"reviewerID": "A", "asin": "B2", "overall": 1.0},
        {"rating": 5.0, "title": "Soft", "text": "Very.", "asin": "B4", "parent_asin": "B3", "user_id": "U"},
    ]
    path.write_bytes(gzip.compress("".join(json.dumps(entry) + "\n" for entry in entries).encode()))
    assert list(open_dataset(str(path)).documents()) == [
        Document("B1-1", "Works.", "Five stars"),
        Document("B3-3", "Very.", "Soft"),
    ]
    path.write_text('{"asin": "B1"}\n{"text": "of nothing"}\n')
    with pytest.raises(ConfigError, match=r":2: no field parent_asin or asin; it has text"):
        list(open_dataset(str(path)).documents())


def test_plain_lines_have_ids_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    path.write_text('{"id": 7, "text": "a"}\n{"contents": "b"}\n{"text": 1.5}\n')
    documents = open_dataset(str(path)).documents()
    assert [next(documents), next(documents)] == [Document("7", "a"), Document("2", "b")]
    with pytest.raises(ConfigError, match=r"plain\.jsonl:3: text is 1\.5, which is no text"):
        next(documents)
