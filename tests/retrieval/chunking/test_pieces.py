"""Where sentences end, by examples."""

import pytest

from quire.retrieval.chunking.pieces import lines, sentences


@pytest.mark.parametrize(
    "text",
    [
        "One here.| Two here!| Three?",
        'He said "stop."| She did.',
        "Dr. Smith met J. Doe, e.g. on Monday, at approx. noon.| Then they left.",
        "Version 3.14 is out.| It costs $2.50 (see p. 4).| Good...| Or not?!",
        "It ended... but not really.| Yes.",
        "1. The first item.| It has two sentences.",
        "これは文です。|次の文です。|終わり",
        "Er kam um 5 Uhr.| Straße und Öl.",
    ],
)
def test_sentences(text: str) -> None:
    whole = "before " + text.replace("|", "") + " after"
    spans = list(sentences(whole, 7, len(whole) - 6))
    assert [whole[start:end] for start, end in spans] == text.split("|")


def test_lines() -> None:
    text = "a\n\n  b\nc"
    assert [text[start:end] for start, end in lines(text, 0, len(text))] == ["a\n", "\n", "  b\n", "c"]
