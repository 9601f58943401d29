"""Calls in a text, by hand, and by the rule that how it was cut does not matter."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.server.parsing.hermes import HermesCalls
from quire.server.parsing.parts import CallArguments, CallBegin, CallEnd, Part, Text
from tests.server.parsing.oracle import CUTS, TEXTS, in_pieces, joined

F = '<tool_call>\n{"name": "f", "arguments": {"a": [1, "}"]}}\n</tool_call>'
ARGUMENTS = '{"a": [1, "}"]}'


def parsed(text: str) -> list[Part]:
    return in_pieces(HermesCalls(), text, [])


def calls(parts: list[Part]) -> list[tuple[str, str]]:
    names = {part.index: part.name for part in parts if isinstance(part, CallBegin)}
    return [(names[part.index], part.text) for part in parts if isinstance(part, CallArguments)]


def text_of(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text))


def test_a_call_behind_words() -> None:
    assert parsed(f"Let me see.\n\n{F}\n") == [
        Text("Let me see."),
        CallBegin(0, "f"),
        CallArguments(0, ARGUMENTS),
        CallEnd(0, True, "\n\n" + F.removesuffix("\n</tool_call>")),
    ]


def test_calls_in_parallel_and_words_behind() -> None:
    parts = parsed(F + "\n" + F.replace('"f"', '"g"') + " Done.")
    assert calls(parts) == [("f", ARGUMENTS), ("g", ARGUMENTS)]
    assert text_of(parts) == "Done."


@pytest.mark.parametrize(
    ("written", "name", "arguments"),
    [
        ('{"arguments": {"a": 1}, "name": "f"}', "f", {"a": 1}),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', "f", {"a": 1}),
        ('{"name": "f"}', "f", {}),
        ('{"name": "f", "arguments": null}', "f", {}),
        ('{"id": 1, "name": "f", "arguments": {"a": {"b": {}}}, "x": {}}', "f", {"a": {"b": {}}}),
        ('{"name": "é\\u0041", "parameters": {"ü": "\\u00fc"}}', "éA", {"ü": "ü"}),
    ],
)
def test_a_call_in_any_order_and_dress(written: str, name: str, arguments: object) -> None:
    ((found, told),) = calls(parsed(f"<tool_call>{written}</tool_call>"))
    assert (found, json.loads(told)) == (name, arguments)


def test_a_mark_that_is_missing_is_not_missed() -> None:
    assert calls(parsed('<tool_call>\n{"name": "f", "arguments": {}}')) == [("f", "{}")]
    assert calls(parsed('<tool_call>{"name": "f", "arguments": {}}<tool_call>{"name": "g", "arguments": {}}')) == [
        ("f", "{}"),
        ("g", "{}"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no call ",
        "a < b and <tool_call",
        "<tool_call>",
        "<tool_call>\n",
        "  <tool_call> \n words\n</tool_call> more",
        '<tool_call>{"name": "f", arguments: {}}</tool_call>',
        '<tool_call>{"name": 5, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "f", "arguments": "no JSON"}</tool_call>',
        '<tool_call>{"x": ' + "9" * 5000 + ', "name": "f"}</tool_call>',
        '<tool_call>["name"]</tool_call>',
        '<tool_call>{"name": "f"',
        "<tool_call>{<tool_call>{<tool_call>",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert parsed(text) == ([Text(text)] if text else [])


def test_a_call_behind_one_that_failed() -> None:
    parts = parsed(f'<tool_call>{{"name": {F}')
    assert calls(parts) == [("f", ARGUMENTS)]
    assert text_of(parts) == '<tool_call>{"name":'


def test_arguments_that_break_off_are_told_and_called_incomplete() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": 1] b'
    assert parsed(text) == [
        CallBegin(0, "f"),
        CallArguments(0, '{"a": 1'),
        CallEnd(0, False, '<tool_call>{"name": "f", "arguments": {"a": 1'),
        Text("] b"),
    ]


def test_arguments_are_told_as_they_come() -> None:
    parser = HermesCalls()
    told = [parser.push(piece) for piece in ('<tool_call>{"name": "f", "arguments": ', '{"a"', ": 1", "}}")]
    assert told == [
        [],
        [CallBegin(0, "f"), CallArguments(0, '{"a"')],
        [CallArguments(0, ": 1")],
        [CallArguments(0, "}"), CallEnd(0, True, '<tool_call>{"name": "f", "arguments": {"a": 1}}')],
    ]


@given(TEXTS, CUTS)
def test_cuts_change_nothing(text: str, cuts: list[int]) -> None:
    assert in_pieces(HermesCalls(), text, cuts) == parsed(text)


@given(TEXTS)
def test_nothing_is_lost(text: str) -> None:
    """All that stood there comes back, white space and the marks that close calls aside."""

    def bare(text: str) -> str:
        return re.sub(r"\s", "", text)

    source = "".join(
        part.text if isinstance(part, Text) else part.source
        for part in parsed(text)
        if isinstance(part, (Text, CallEnd))
    )
    assert bare(source).replace("</tool_call>", "") == bare(text).replace("</tool_call>", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from("fg"), st.dictionaries(st.text(), JSON, max_size=3)), max_size=3), CUTS)
def test_what_was_called_is_what_is_found(wanted: list[tuple[str, dict[str, object]]], cuts: list[int]) -> None:
    text = "Well. " + "\n".join(
        f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>" for name, arguments in wanted
    )
    parts = in_pieces(HermesCalls(), text, cuts)
    assert [(name, json.loads(told)) for name, told in calls(parts)] == wanted
    assert text_of(parts).strip() == "Well."
    assert joined(parts) == parts
