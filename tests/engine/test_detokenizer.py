"""Stop strings against a search over the whole text, character by character, however tokens cut it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quire.engine.detokenizer import Detokenizer


class Pieces:
    """A decoder whose token `i` is the piece `i` of a text; the last piece comes only with `flush` if `late`."""

    def __init__(self, pieces: list[str], late: str = "") -> None:
        self._pieces, self._late = pieces, late

    def push(self, token_id: int) -> str:
        return self._pieces[token_id]

    def flush(self) -> str:
        return self._late


def slow_stop(pieces: list[str], stops: list[str], min_tokens: int) -> tuple[int, str] | None:
    """Where the text ends before the stop string, and the stop string: the first character that completes one."""
    text = ""
    for number, piece in enumerate(pieces, 1):
        for character in piece:
            text += character
            ending = [stop for stop in stops if text.endswith(stop)]
            if ending and number > min_tokens:
                stop = max(ending, key=len)
                return len(text) - len(stop), stop
    return None


SHORT = st.text("ab ", max_size=4)


@given(
    pieces=st.lists(SHORT, max_size=12),
    late=SHORT,
    stops=st.lists(st.text("ab ", min_size=1, max_size=5), max_size=4),
    include=st.booleans(),
    min_tokens=st.integers(0, 5),
)
def test_text_ends_at_the_first_stop_string(
    pieces: list[str], late: str, stops: list[str], include: bool, min_tokens: int
) -> None:
    detokenizer = Detokenizer(Pieces(pieces, late), stops, include, min_tokens)
    whole, streamed, stop = "".join(pieces) + late, "", None
    # The flushed text counts as part of the last token.
    expected = slow_stop([*pieces[:-1], pieces[-1] + late] if pieces else [], stops, min_tokens)
    for token_id in range(len(pieces)):
        stop = detokenizer.append(token_id)
        streamed += detokenizer.take_delta()
        assert whole.startswith(streamed)
        if stop is not None:
            break
    if stop is None:
        stop = detokenizer.finish()
        streamed += detokenizer.take_delta()
    if not pieces:
        return
    if expected is None:
        assert (stop, streamed) == (None, whole)
    else:
        end, expected_stop = expected
        assert (stop, streamed) == (expected_stop, whole[:end] + (expected_stop if include else ""))
    assert detokenizer.text == streamed


@given(
    text=st.text("ab ", max_size=20), stops=st.lists(st.text("ab ", min_size=1, max_size=4), max_size=3), data=st.data()
)
def test_how_tokens_cut_the_text_changes_nothing(text: str, stops: list[str], data: st.DataObject) -> None:
    def run(pieces: list[str]) -> tuple[str | None, str]:
        detokenizer = Detokenizer(Pieces(pieces), stops)
        for token_id in range(len(pieces)):
            if (stop := detokenizer.append(token_id)) is not None:
                return stop, detokenizer.text
        return detokenizer.finish(), detokenizer.text

    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert run(pieces) == run(list(text))


def test_what_could_become_a_stop_string_is_held_back_and_no_more() -> None:
    pieces = ["hello S", "T", "O", "X", " ST", "OP", "never"]
    detokenizer = Detokenizer(Pieces(pieces), ["STOP"])
    deltas = []
    for token_id in range(5):
        assert detokenizer.append(token_id) is None
        deltas.append(detokenizer.take_delta())
    assert deltas == ["hello ", "", "", "STOX", " "]
    assert detokenizer.text == "hello STOX ST"
    assert detokenizer.append(5) == "STOP"
    assert (detokenizer.take_delta(), detokenizer.text) == ("", "hello STOX ")


@pytest.mark.parametrize(("include", "text"), [(False, "one "), (True, "one END")])
def test_the_stop_string_is_in_the_text_only_when_asked(include: bool, text: str) -> None:
    detokenizer = Detokenizer(Pieces(["one E", "ND two"], late="late"), ["END"], include)
    assert [detokenizer.append(0), detokenizer.append(1)] == [None, "END"]
    assert detokenizer.text == detokenizer.take_delta() == text
    assert detokenizer.finish() is None
    assert detokenizer.text == text, "nothing comes after a stop string"


@pytest.mark.parametrize(("min_tokens", "stops_at"), [(0, 1), (1, 1), (2, 3), (3, 3), (4, None)])
def test_a_stop_string_counts_when_a_token_after_min_tokens_completes_it(min_tokens: int, stops_at: int | None) -> None:
    detokenizer = Detokenizer(Pieces(["a", "#", "b", "#"]), ["#"], min_tokens=min_tokens)
    found = next((i for i in range(4) if detokenizer.append(i) is not None), None)
    assert found == stops_at


def test_without_stop_strings_everything_is_decided_at_once() -> None:
    detokenizer = Detokenizer(Pieces(["a", "", "b"], late="\ufffd"))
    for token_id, delta in enumerate(["a", "", "b"]):
        assert detokenizer.append(token_id) is None
        assert detokenizer.take_delta() == delta
    assert detokenizer.finish() is None
    assert (detokenizer.take_delta(), detokenizer.text) == ("\ufffd", "ab\ufffd")
