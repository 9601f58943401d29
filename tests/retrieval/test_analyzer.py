"""What becomes of a text: expected terms a reader can check."""

import pytest

from quire.errors import ConfigError
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.inverted_index import InvertedIndex


def terms(text: str, **knobs) -> list[str]:
    return list(InvertedIndex(analyzer=Analyzer(**{"language": None, "stop_words": [], **knobs})).terms(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("snake_case and C3PO 3.14", ["snake_case", "and", "c3po", "3", "14"]),
        ("don't 'quoted' rock'n'roll it’s", ["don't", "quoted", "rock'n'roll", "it's"]),
        ("Größe ÉCOLE Ἀθῆναι Москва", ["größe", "école", "ἀθῆναι", "москва"]),
        ("e\u0301cole", ["école"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("東京都", ["東京", "京都"]),
        ("東 and 京都x", ["東", "and", "京都", "x"]),
        ("한국어 カタカナ", ["한국", "국어", "カタ", "タカ", "カナ"]),
        ("𠀀𠀁", ["𠀀𠀁"]),
        ("a\x00b\u200bc\n\td", ["a", "b", "c", "d"]),
        ("", []),
        ("🙂 … —", []),
    ],
)
def test_splitting(text, expected) -> None:
    assert terms(text) == expected


def test_english_stems_and_drops_stop_words() -> None:
    assert terms("The running dogs were not easily caught", language="english", stop_words=None) == [
        "run", "dog", "were", "easili", "caught",
    ]  # fmt: skip


def test_other_languages_and_stemmers_of_one_s_own() -> None:
    assert terms("Häuser bauen", language="german") == ["haus", "bau"]
    assert terms("abc def", stem=lambda word: word[:1]) == ["a", "d"]
    assert terms("one two", stop_words=["one"]) == ["two"]


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(ConfigError, match=r"language is 'englisch'.*Did you mean 'english'"):
        Analyzer("englisch")


def test_stop_words_are_compared_in_lower_case_and_are_a_list() -> None:
    assert terms("The house", stop_words=["The"]) == ["house"]
    with pytest.raises(ConfigError, match="single text 'the'"):
        Analyzer(stop_words="the")
