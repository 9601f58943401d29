import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.server.parsing.parts import Part, Text, Thought
from quire.server.parsing.thoughts import Thoughts
from tests.server.parsing.oracle import CUTS, TEXTS, in_pieces


def parsed(text: str, *, is_open: bool = False) -> list[Part]:
    return in_pieces(Thoughts(is_open=is_open), text, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\nHm.\n</think>\n\nYes. ", [Thought("Hm."), Text("Yes. ")]),
        ("\n<think>Hm.</think>", [Thought("Hm.")]),
        ("<think>\n\n</think>\n\nYes.", [Text("Yes.")]),
        (" Yes. <think>no</think>", [Text(" Yes. <think>no</think>")]),
        ("<think>a < b </thin", [Thought("a < b </thin")]),
        ("<thin", [Text("<thin")]),
        ("", []),
    ],
)
def test_thoughts_and_answer(text: str, expected: list[Part]) -> None:
    assert parsed(text) == expected


def test_a_prompt_that_opened_the_thoughts() -> None:
    for text in ("Hm.\n</think>\nYes.", "<think>Hm.</think>Yes."):
        assert parsed(text, is_open=True) == [Thought("Hm."), Text("Yes.")]
    assert parsed("Hm.", is_open=True) == [Thought("Hm.")]


@given(TEXTS, CUTS, st.booleans())
def test_cuts_change_nothing(text: str, cuts: list[int], is_open: bool) -> None:
    assert in_pieces(Thoughts(is_open=is_open), text, cuts) == parsed(text, is_open=is_open)


def test_the_answer_is_told_at_once() -> None:
    split = Thoughts()
    told = [split.push(piece) for piece in ("<thi", "nk>H", "m. </", "think", "> ", "Y", "es")]
    assert told == [[], [Thought("H")], [Thought("m.")], [], [], [Text("Y")], [Text("es")]]
