"""The end of a JSON object, by Python's own decoder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.server.parsing.json_object import MAX_DEPTH, JsonObject
from tests.server.parsing.oracle import TEXTS


def ending(text: str) -> int | None:
    """How many characters the object has; None where it breaks or does not end."""
    scanned = JsonObject()
    for number, char in enumerate(text, 1):
        scanned.feed(char)
        if scanned.is_broken:
            return None
        if scanned.is_done:
            return number
    return None


def refused(constant: str) -> Any:
    raise ValueError(constant)


def expected(text: str) -> int | None:
    if not text.startswith("{"):
        return None
    try:
        return json.JSONDecoder(parse_constant=refused).raw_decode(text)[1]
    except ValueError:
        return None


WORDS = st.text(max_size=6)  # and few of them: long values are slow to draw, and of the same kinds
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=4)


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.text(max_size=4))
def test_it_ends_where_the_decoder_ends(value: Any, ascii_only: bool, indent: int | None, behind: str) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert ending(text + behind) == len(text)


@given(OBJECTS.filter(bool), st.data())
def test_a_character_changed_is_judged_as_the_decoder_does(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(1, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from('{}[]",:\\0-.eEtx \n\x01')) + text[at + 1 :]
    assert ending(changed) == expected(changed)


@given(TEXTS)
def test_fragments_are_judged_as_the_decoder_does(text: str) -> None:
    assert ending("{" + text) == expected("{" + text)


def test_depth_has_a_bound() -> None:
    assert ending('{"a":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}") is not None
    assert ending('{"a":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}") is None


@pytest.mark.parametrize("text", ["[1]", '"a"', "1", "true"])
def test_only_objects_are_taken(text: str) -> None:
    assert ending(text) is None
