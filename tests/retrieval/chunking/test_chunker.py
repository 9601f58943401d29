"""Chunks against what they promise: nothing lost, nothing too long, ids that stay, cuts where thoughts end."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire import Chunker
from quire.errors import ConfigError, InvalidRequestError
from quire.retrieval.chunking.tokens import WordTokens

WORDS = st.sampled_from(["quire", "of", "pages", "gathering", "Sheets", "fold", "e.g.", "4", "二百", "naïve", "x" * 50])
SENTENCES = st.lists(WORDS, min_size=1, max_size=30).map(lambda words: " ".join(words).capitalize() + ".")
PARAGRAPHS = st.lists(SENTENCES, min_size=1, max_size=6).map(" ".join)
BLOCKS = st.one_of(
    PARAGRAPHS,
    st.lists(WORDS, min_size=1, max_size=8).map(lambda items: "\n".join(f"- {item}" for item in items)),
    st.lists(WORDS, min_size=1, max_size=40).map(lambda lines: "```\n" + "\n".join(lines) + "\n# no heading\n```"),
    st.tuples(st.integers(1, 4), st.sampled_from(["quire", "pages", "Sheets", "4"])).map(
        lambda heading: f"{'#' * heading[0]} {heading[1]}"
    ),
)
DOCUMENTS = st.lists(BLOCKS, max_size=12).map("\n\n".join)


def num_tokens(text: str) -> int:
    return len(WordTokens().starts(text))


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


@pytest.mark.parametrize("kind", ["text", "markdown"])
@settings(max_examples=60, deadline=None)
@given(text=DOCUMENTS, room=st.integers(32, 80), overlap=st.integers(0, 8))
def test_chunks_are_slices_that_hold_every_word_and_are_not_too_long(
    kind: str, text: str, room: int, overlap: int
) -> None:
    chunks = Chunker(room, overlap).split("d", text, kind)
    covered = [False] * len(text)
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text == chunk.text.strip()
        assert num_tokens(chunk.text) + num_tokens(chunk.heading or "") <= room
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    lost = "".join(character if not is_covered else " " for character, is_covered in zip(text, covered, strict=True))
    headings = " ".join(chunk.heading or "" for chunk in chunks)
    assert words_of(lost) <= words_of(headings)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert [chunk.end for chunk in chunks] == sorted({chunk.end for chunk in chunks})
    for one, next_one in pairwise(chunks):
        assert num_tokens(text[next_one.start : max(one.end, next_one.start)]) <= overlap


def test_a_chunk_ends_with_a_sentence_and_the_next_begins_with_the_last_ones() -> None:
    text = " ".join(f"Sentence number {i} has some words." for i in range(12))
    first, second, *_ = Chunker(40, 10).split("d", text)
    assert first.text.endswith(".")
    assert second.text.startswith(first.text[first.text.rindex("Sentence") :])


def test_sections_stay_apart_and_carry_their_headings() -> None:
    text = "# Guide\n\nIntro.\n\n## Install\n\nOne.\n\nTwo.\n\n## Use\n\n### Alone\n\n# Next\n\nLast.\n"
    chunks = Chunker().split("d", text, "markdown")
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("Guide", "Intro."),
        ("Guide > Install", "One.\n\nTwo."),
        ("Guide > Use", "### Alone"),
        ("Next", "Last."),
    ]


def test_sections_of_one_name_stay_apart_too() -> None:
    chunks = Chunker().split("d", "# Example\n\nOne.\n\n# Example\n\nTwo.\n", "markdown")
    assert [(chunk.heading, chunk.text) for chunk in chunks] == [("Example", "One."), ("Example", "Two.")]


def test_a_very_long_heading_leaves_half_of_the_room() -> None:
    chunks = Chunker(20, 0).split("d", f"# {'heading ' * 50}end\n\n{'text ' * 50}", "markdown")
    assert all((chunk.heading or "").endswith("heading heading end") for chunk in chunks)
    assert {num_tokens(chunk.heading or "") + num_tokens(chunk.text) for chunk in chunks} == {20}


def test_code_is_kept_whole_where_it_fits_and_broken_between_lines_where_not() -> None:
    code = "\n".join(f"x{i} = f(x{i - 1}). It goes on" for i in range(4))
    text = f"Some words before it. And some more of them here.\n\n```py\n{code}\n```\n\nAfter."
    assert any(f"```py\n{code}\n```" in chunk.text for chunk in Chunker(60, 0).split("d", text, "markdown"))
    broken = [chunk for chunk in Chunker(30, 0).split("d", text, "markdown") if "f(x" in chunk.text]
    assert len(broken) > 1
    assert all(text[chunk.end] == "\n" for chunk in broken)


def test_a_change_in_one_section_leaves_the_ids_of_the_others() -> None:
    sections = [f"# Part {i}\n\n" + " ".join(f"Fact {j} of {i}." for j in range(60)) for i in range(4)]
    before = [chunk.id for chunk in Chunker(60, 10).split("d", "\n\n".join(sections), "markdown")]
    sections[1] = sections[1].replace("Fact 0", "Another fact")
    after = [chunk.id for chunk in Chunker(60, 10).split("d", "\n\n".join(sections), "markdown")]
    of_part_1 = len(before) // 4
    assert before[:of_part_1] == after[:of_part_1]
    assert before[2 * of_part_1 :] == after[-2 * of_part_1 :]
    assert set(before) != set(after)


def test_a_passage_that_comes_again_has_an_id_of_its_own() -> None:
    chunks = Chunker().split("d", "# A\n\nSame.\n\n# B\n\nOther.\n\n# A\n\nSame.\n", "markdown")
    assert chunks[2].id == chunks[0].id + "-2"
    assert chunks[0].id.startswith("d#")


@pytest.mark.parametrize("kind", ["text", "markdown", "html"])
@pytest.mark.parametrize("text", ["", " \n\t", "---\n\n***\n", "\f\f"])
def test_nothing_said_is_no_chunk(kind: str, text: str) -> None:
    assert Chunker().split("d", text, kind) == []


@pytest.mark.parametrize("text", ["word " * 200_000, "x" * 10**6, "." * 10**6, "a\n" * 300_000, "<" * 10**5])
@pytest.mark.parametrize("kind", ["text", "html"])
def test_a_document_without_ends_is_cut_all_the_same(text: str, kind: str) -> None:
    chunks = Chunker(100, 0).split("d", text, kind)
    assert all(num_tokens(chunk.text) <= 100 for chunk in chunks)
    assert sum(num_tokens(chunk.text) for chunk in chunks) == (num_tokens(text) if any(map(str.isalnum, text)) else 0)


def test_a_model_may_count() -> None:
    class Letters:
        fingerprint = "letters"

        def starts(self, text: str) -> range:
            return range(len(text))

    assert all(len(chunk.text) <= 20 for chunk in Chunker(20, 0, tokens=Letters()).split("d", "some words " * 20))
    assert Chunker(tokens=Letters()).fingerprint != Chunker().fingerprint


def test_the_fingerprint_is_of_the_knobs() -> None:
    assert Chunker().fingerprint == Chunker().fingerprint
    assert len({c.fingerprint for c in (Chunker(), Chunker(100), Chunker(overlap_tokens=0))}) == 3


def test_knobs_say_what_they_may_be() -> None:
    with pytest.raises(ConfigError, match="max_tokens is 2; allowed: 16 or more"):
        Chunker(2)
    with pytest.raises(ConfigError, match="overlap_tokens is 60; allowed: 0 to 50"):
        Chunker(100, 60)
    with pytest.raises(InvalidRequestError, match="kind is 'pdf'; allowed: text, markdown, html"):
        Chunker().split("d", "text", "pdf")
