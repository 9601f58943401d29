import json

import pytest
from hypothesis import given

from quire.server.parsing.llama import LlamaCalls
from quire.server.parsing.parts import CallArguments, CallBegin, CallEnd, Part, Text
from tests.server.parsing.oracle import CUTS, TEXTS, in_pieces

F = '{"name": "f", "parameters": {"a": 1}}'
NAMES = frozenset({"f", "g"})


def parsed(text: str) -> list[Part]:
    return in_pieces(LlamaCalls(NAMES), text, [])


@pytest.mark.parametrize("before", ["", "\n ", "<|python_tag|>", " <|python_tag|>\n"])
def test_a_call_at_the_beginning(before: str) -> None:
    assert parsed(before + F) == [
        CallBegin(0, "f"),
        CallArguments(0, '{"a": 1}'),
        CallEnd(0, True, before + F),
    ]


def test_calls_in_parallel() -> None:
    parts = parsed(F + "; " + '{"type": "function", "name": "g", "parameters": {}}' + "\n" + F)
    assert [part.name for part in parts if isinstance(part, CallBegin)] == ["f", "g", "f"]
    assert [json.loads(part.text) for part in parts if isinstance(part, CallArguments)] == [{"a": 1}, {}, {"a": 1}]


@pytest.mark.parametrize(
    "text",
    [
        "words",
        " words",
        "words " + F,
        "<|python_tag|>print(1)",
        '{"name": "h", "parameters": {}}',
        '{"name": "f"}',
        '{"answer": {"a": [1]}} ' + F,
        '{"name": "f", "parameters": ',
        "<|pyth",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert parsed(text) == [Text(text)]


def test_words_behind_a_call_are_text() -> None:
    assert parsed(F + "\n so be it")[-1] == Text("so be it")


@given(TEXTS, CUTS)
def test_cuts_change_nothing(text: str, cuts: list[int]) -> None:
    assert in_pieces(LlamaCalls(NAMES), text, cuts) == parsed(text)
