"""What Markdown, HTML and plain text say, block by block, and where it stands in the source."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.retrieval.chunking.html import outline_of_html
from quire.retrieval.chunking.markdown import outline_of_markdown
from quire.retrieval.chunking.outline import Outline
from quire.retrieval.chunking.plain_text import outline_of_text


def said(outline: Outline) -> list[tuple[str | None, str]]:
    return [(block.heading, outline.text[block.start : block.end]) for block in outline.blocks]


def test_plain_text_has_paragraphs_and_pages() -> None:
    assert said(outline_of_text(" one\ntwo\n \n\n three\ffour\n")) == [
        (None, "one\ntwo"),
        (None, "three"),
        (None, "four"),
    ]


def test_markdown() -> None:
    text = (
        "---\ntitle: x\n---\nIntro\n=====\nWords,\nmore words.\n- item\n\n  of two\n- item\n  - inner\n\n"
        "~~~\n# code\n\n~~~\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> a quote\n\n1. first\n\n   ```\n   # code\n   ```\n"
    )
    outline = outline_of_markdown(text)
    assert said(outline) == [
        (None, "---\ntitle: x\n---"),
        ("Intro", "Words,\nmore words."),
        ("Intro", "- item\n\n  of two"),
        ("Intro", "- item\n  - inner"),
        ("Intro", "~~~\n# code\n\n~~~"),
        ("Intro", "| a | b |\n|---|---|\n| 1 | 2 |"),
        ("Intro", "> a quote"),
        ("Intro", "1. first\n\n   ```\n   # code\n   ```"),
    ]
    assert [block.is_lines for block in outline.blocks] == [True, False, False, False, True, True, False, False]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_markdown_of_other_systems(end: str) -> None:
    text = end.join(["# A", "", "one", "two", "", "## B", "three"])
    assert said(outline_of_markdown(text)) == [("A", f"one{end}two"), ("A > B", "three")]


def test_html() -> None:
    source = """<!DOCTYPE html><html><head><title>The  page</title><style>p { color: red }</style></head><body>
    <h1>The page</h1><p>Fish &amp; chips,\n  <b>hot</b>&nbsp;and&#x21;<br>AT&T</p><script>var p = "<p>no</p>"</script>
    <h2>A <i>table</i></h2><table><tr><th>a</th><th>b</th></tr><tr><td>1<td>2</table>
    <ul><li>one<li>two</ul><pre>code\n  more</pre><div>end"""
    assert said(outline_of_html(source)) == [
        ("The page", "Fish & chips, hot and!\nAT&T"),
        ("The page > A table", "a | b"),
        ("The page > A table", "1 | 2"),
        ("The page > A table", "- one"),
        ("The page > A table", "- two"),
        ("The page > A table", "code\n  more"),
        ("The page > A table", "end"),
    ]


def test_a_word_of_html_is_found_in_its_source() -> None:
    source = "<p>alpha  &lt; <b>beta</b>\n\n   gamma</p><!-- x --><ul><li>delta</ul>"
    outline = outline_of_html(source)
    for word in re.findall(r"[a-z]+", outline.text):
        place = outline.place(outline.text.index(word))
        assert source[place : place + len(word)] == word


MARKUP = re.findall(
    r"\S+", '< > <! <![ ]]> <p> </p> <h1> & &# &#x ; <pre> <script> </script> a -- <? <li =" <svg/> &amp; <td'
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*MARKUP, " ", "\n", "\0", "9" * 5000])))
def test_anything_is_html(pieces: list[str]) -> None:
    source = "".join(pieces)
    outline = outline_of_html(source)
    assert all(0 <= outline.place(block.start) < len(source) for block in outline.blocks)
