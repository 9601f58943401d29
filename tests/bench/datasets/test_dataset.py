"""A place says what lies there, by its names or by its first line."""

import json
from pathlib import Path

import pytest

from quire.bench.datasets import FORMATS, open_dataset
from quire.errors import ConfigError

REVIEW = {"asin": "B1", "reviewText": "good"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("corpus.jsonl", "", "beir"),
        ("collection.tsv", "", "ms_marco"),
        ("passages.jsonl", "", "jsonl"),
    ],
)
def test_folders_are_told_by_what_is_in_them(name: str, text: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert open_dataset(str(tmp_path)).format == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dump-pages-articles.xml.bz2", "", "wikipedia"),
        ("Books.jsonl", REVIEW, "amazon"),
        ("Books_5.json", REVIEW, "amazon"),
        ("plain.jsonl", {"text": "t"}, "jsonl"),
        ("cranfield.json", {"docs": [], "queries": {}, "qrels": {}}, "judged"),
        ("squad.json", [{"text": "t", "qas": []}], "squad"),
    ],
)
def test_files_are_told_by_their_ends_and_first_lines(name: str, value: object, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(value))
    found = open_dataset(str(tmp_path / name))
    assert (found.format, found.name) == (expected, name.partition(".")[0])


def test_a_format_that_is_given_goes_before_what_it_looks_like(tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text(json.dumps(REVIEW | {"text": "t"}) + "\n")
    place = str(tmp_path / "odd.jsonl")
    assert [document.id for document in open_dataset(f"{place}:jsonl").documents()] == ["1"]
    assert [document.id for document in open_dataset(place).documents()] == ["B1-1"]
    with pytest.raises(ConfigError, match=r"'json' is no format .*Did you mean 'jsonl'"):
        open_dataset(f"{place}:json")
    with pytest.raises(ConfigError, match="There is no "):
        open_dataset(f"{place}.gone:jsonl")
    (tmp_path / "what.bin").write_text("")
    with pytest.raises(ConfigError, match=f"one of {', '.join(FORMATS)}"):
        open_dataset(str(tmp_path / "what.bin"))


def test_documents_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "passages.jsonl").write_text('{"text": "one", "title": "T"}\n')
    dataset = open_dataset(str(tmp_path))
    assert [d.whole for d in dataset.documents()] == [d.whole for d in dataset.documents()] == ["T\none"]
    assert list(dataset.questions()) == []
