"""A collection on the page: answers whose marks open the passages they name, and what a search finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quire import Collection
from tests.rag.chunks import CAEN, ORNE, VIRE
from tests.server.browser import Tab, ask, shot
from tests.server.scripted import ScriptedEngine, scripted
from tests.server.serving import Running

pytestmark = pytest.mark.browser

TEXTS = {"orne": ORNE.text, "vire": VIRE.text, "caen": CAEN.text}
SAYS = "\U0001f30a In 1843 [1], or [9] so [2, 1]."
QUESTION = "When was the Orne mapped?"
LAST = "document.querySelector('.message.assistant:last-child')"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, ScriptedEngine]]:
    folder, path = tmp_path_factory.mktemp("folder"), tmp_path_factory.mktemp("quire") / "rivers"
    with Collection.open(path, embedder=None) as rivers:
        rivers.add([{"id": document_id, "text": text} for document_id, text in TEXTS.items()])
    with scripted(
        tmp_path_factory.mktemp("tokens"), SAYS, collection=(str(path),), collection_folder=str(folder)
    ) as found:
        yield found


@pytest.fixture
def page(pair: tuple[Running, ScriptedEngine], browser: Tab) -> Iterator[Tab]:
    """With the collection chosen, as a user of the keyboard chooses it."""
    browser.open(f"{pair[0].url}/")
    browser.wait("document.getElementById('collection').options.length === 2")
    browser.evaluate("document.getElementById('collection').focus()")
    browser.type_keys("r")
    browser.wait("document.getElementById('holding').textContent.startsWith('rivers: 3 documents')")
    yield browser
    assert browser.problems == []


def cited(server: Running) -> dict[int, dict[str, Any]]:
    body = {"messages": [{"role": "user", "content": QUESTION}], "collection": "rivers"}
    message = server.ask("/v1/chat/completions", body).json["choices"][0]["message"]
    return {citation["number"]: citation for citation in message["citations"]}


def test_a_mark_opens_the_passage_that_it_names(
    pair: tuple[Running, ScriptedEngine], page: Tab, tmp_path: Path
) -> None:
    expected = cited(pair[0])
    ask(page, QUESTION)
    page.wait(f"{LAST}?.querySelector('footer') !== null")
    assert page.evaluate(f"{LAST}.querySelector('div').textContent") == "\U0001f30a In 1843 [1], or so [2, 1]."
    marks = f"[...{LAST}.querySelectorAll('.mark')]"
    assert page.evaluate(f"{marks}.map((mark) => mark.textContent)") == ["1", "2", "1"]
    assert page.evaluate(f"{LAST}.querySelectorAll('.passage[open]').length") == 0
    page.evaluate(f"{marks}[0].focus()")
    page.press("Tab")
    page.press("Enter")
    opened = page.evaluate("""(() => {
      const source = document.activeElement.parentElement, text = (name) => source.querySelector(name).textContent;
      return [source.open, text('.number'), text('.document'), text('.text'), text('.score')];
    })()""")
    score = float(opened.pop().removeprefix("score "))
    assert opened == [True, "[2]", expected[2]["document_id"], expected[2]["text"]]
    assert score == pytest.approx(expected[2]["score"], rel=0.01)
    shot(page, "citation", tmp_path)
    page.press("Tab")
    page.press("Enter")
    assert page.evaluate(f"document.activeElement === {marks}[1]")


def test_marks_open_before_the_answer_has_ended_and_a_new_chat_knows_nothing_of_it(
    pair: tuple[Running, ScriptedEngine], page: Tab
) -> None:
    engine = pair[1]
    engine.says, engine.pause_s = ["It was [1]. " + "Then more came. " * 30], 0.02
    try:
        ask(page, QUESTION)
        page.wait(f"{LAST}?.querySelector('.mark') != null")
        page.evaluate(f"{LAST}.querySelector('.mark').click()")
        assert page.evaluate(f"{LAST}.querySelector('.passage[open] .text').textContent") == TEXTS["orne"]
        assert page.evaluate("document.getElementById('messages').getAttribute('aria-busy')") == "true"
        page.evaluate("document.getElementById('reset').click()")
        page.wait("document.getElementById('messages').getAttribute('aria-busy') === 'false'")
        engine.says, engine.pause_s = [SAYS], 0.0
        ask(page, "And the Vire?")
        page.wait(f"{LAST}?.querySelector('footer') != null")
        assert "It was" not in engine.last_prompt
    finally:
        engine.says, engine.pause_s = [SAYS], 0.0


def test_without_a_collection_marks_are_text(pair: tuple[Running, ScriptedEngine], page: Tab) -> None:
    page.press("ArrowUp")
    page.wait("document.getElementById('from').textContent === ''")
    ask(page, QUESTION)
    page.wait(f"{LAST}?.querySelector('footer') !== null")
    assert page.evaluate(f"{LAST}.querySelector('div').textContent") == SAYS
    assert page.evaluate(f"{LAST}.querySelectorAll('.mark, .passage').length") == 0
    assert ORNE.text not in pair[1].last_prompt


def test_what_is_asked_most_is_shown(pair: tuple[Running, ScriptedEngine], page: Tab) -> None:
    server = pair[0]
    for query, count in (("how long", 7), ("<b>who</b>", 6)):
        for _ in range(count):
            server.ask("/v1/collections/rivers/search", {"query": query})
    page.wait("document.querySelectorAll('#queries li').length > 1")
    shown = page.evaluate("[...document.querySelectorAll('#queries li')].map((item) => item.textContent)")
    assert shown[:2] == ["how long 7", "<b>who</b> 6"]


def test_collections_are_made_filled_emptied_and_deleted(
    pair: tuple[Running, ScriptedEngine], page: Tab, tmp_path: Path
) -> None:
    server = pair[0]

    def documents() -> list[str]:
        (info,) = (one for one in server.ask("/v1/collections").json["data"] if one["name"] == "towns")
        return [info["num_documents"], info["num_chunks"]]

    page.evaluate("window.confirm = () => true; document.getElementById('managing').open = true")
    page.evaluate("document.getElementById('new-vectors').value = 'none'; document.getElementById('new-name').focus()")
    page.type("towns")
    page.press("Enter")
    page.wait("document.getElementById('holding').textContent === 'towns: 0 documents, 0 passages'")
    page.evaluate("document.getElementById('adding').open = true")
    (tmp_path / "caen.md").write_text(f"# Caen\n\n{CAEN.text}")
    (tmp_path / "bad.pdf").write_bytes(b"no PDF")
    page.choose_files("files", [tmp_path / "caen.md", tmp_path / "bad.pdf"])
    page.evaluate("document.querySelector('#add-files button').click()")
    page.wait("document.getElementById('written').textContent.startsWith('1 added.')")
    assert "bad.pdf is no PDF" in page.evaluate("document.getElementById('written').textContent")
    assert "400" in page.problems.pop()
    page.evaluate("document.getElementById('text-name').focus()")
    page.type("vire/a b?.txt")
    page.press("Tab")
    page.type(VIRE.text)
    page.press("Tab")
    page.press("Enter")
    page.wait("document.getElementById('holding').textContent === 'towns: 2 documents, 2 passages'")
    found = server.ask("/v1/collections/towns/documents/vire/a%20b%3F.txt").json
    assert (found["id"], found["text"]) == ("vire/a b?.txt", VIRE.text)
    shot(page, "upload", tmp_path)
    page.evaluate("document.getElementById('query').focus()")
    page.type("vire")
    page.press("Enter")
    page.wait("document.querySelectorAll('#hits .passage').length === 1")
    page.evaluate("document.querySelector('#hits .passage .small').click()")
    page.wait("document.getElementById('written').textContent === 'vire/a b?.txt is deleted.'")
    assert documents() == [1, 1]
    page.evaluate("document.getElementById('drop').click()")
    page.wait("document.getElementById('made').textContent === 'towns is deleted.'")
    assert [one["name"] for one in server.ask("/v1/collections").json["data"]] == ["rivers"]


def test_a_search_shows_what_the_server_finds(pair: tuple[Running, ScriptedEngine], page: Tab, tmp_path: Path) -> None:
    query = "mapping of the Orne"
    expected = pair[0].ask("/v1/collections/rivers/search", {"query": query}).json["data"]
    assert page.evaluate("document.getElementById('mode').value") == "lexical"
    page.evaluate("document.getElementById('query').focus()")
    page.type(query)
    page.press("Enter")
    page.wait(f"document.querySelectorAll('#hits .passage').length === {len(expected)}")
    shown = page.evaluate("""[...document.querySelectorAll('#hits .passage')].map((hit) =>
      [hit.querySelector('.document').textContent, hit.querySelector('.text').textContent])""")
    assert shown == [[hit["document_id"], hit["text"]] for hit in expected]
    marked = """[...document.querySelectorAll('#hits .text')].map((text) =>
      [...text.querySelectorAll('mark')].map((mark) => mark.textContent))"""
    assert page.evaluate(marked) == [["Orne", "mapped"], ["Orne"]]
    assert page.evaluate("document.getElementById('found').textContent") == "2 passages, best first"
    shot(page, "search", tmp_path)


def test_all_that_is_shown_can_be_read_and_has_a_name(page: Tab, tmp_path: Path) -> None:
    page.evaluate("document.getElementById('query').focus()")
    page.type("Orne")
    page.press("Enter")
    page.wait("document.querySelectorAll('#hits .passage').length === 2")
    ask(page, QUESTION)
    page.wait(f"{LAST}?.querySelector('footer') != null")
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    assert page.unnamed() == []
    for is_dark in (False, True):
        page.set_dark(is_dark)
        assert page.pale() == []
    shot(page, "all-dark", tmp_path)
    page.set_dark(False)
