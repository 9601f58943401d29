"""The page as a user meets it, in a real browser: typing, streaming, stopping, keys, the map of blocks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.cache.heat import BlockHeat
from quire.config import EngineConfig
from quire.engine.assembly import assemble
from quire.engine.async_engine import AsyncEngine
from quire.server.page_files import PAGE_FILES, STATIC
from tests.patience import wait_until
from tests.server.browser import Tab, ask, shot
from tests.server.serving import Running, running

pytestmark = pytest.mark.browser

ANSWER = "document.querySelector('.message.assistant:last-child > div').textContent"
IS_DONE = "document.querySelector('.message.assistant:last-child footer') !== null"

IS_AT_END = """(() => {
  const log = document.getElementById('messages'), foot = log.querySelector('.message:last-child footer');
  return foot.getBoundingClientRect().bottom <= log.getBoundingClientRect().bottom;
})()"""


@pytest.fixture(scope="module")
def server(model_path: Path) -> Iterator[Running]:
    heat = BlockHeat()
    config = EngineConfig(num_threads=1, max_num_seqs=16, block_size=4, kv_cache_memory=1 << 20)
    with running(lambda: AsyncEngine(assemble(model_path, config, observer=heat), heat), api_key=("one",)) as server:
        wait_until(lambda: server.ask("/ready").status == 200)
        yield server


@pytest.fixture
def page(server: Running, browser: Tab) -> Iterator[Tab]:
    """Opened anew, with the key of this tab."""
    browser.open(f"{server.url}/")
    browser.evaluate("sessionStorage.setItem('key', 'one')")
    browser.open(f"{server.url}/")
    browser.wait("document.getElementById('model').textContent === 'tiny'")
    yield browser
    assert browser.problems == []


def test_a_question_is_typed_and_its_answer_streams_in(server: Running, page: Tab, tmp_path: Path) -> None:
    page.evaluate("document.getElementById('temperature').value = 0; document.getElementById('max-tokens').value = 12")
    page.evaluate("document.getElementById('messages').style.maxHeight = '120px'")  # too low for all of it
    assert page.evaluate("document.activeElement.id") == "question"
    asked = []
    for text in ("hello world", "<b>one</b> & two"):
        asked.append({"role": "user", "content": text})
        body = {"messages": asked, "temperature": 0, "max_tokens": 12}
        expected = server.ask("/v1/chat/completions", body, Authorization="Bearer one").json
        said = expected["choices"][0]["message"]["content"]
        ask(page, text)
        page.wait(IS_DONE)
        assert page.evaluate(ANSWER) == said
        assert page.evaluate("document.querySelector('.message.assistant:last-child footer').textContent").startswith(
            f"{expected['usage']['prompt_tokens']} tokens in"
        )
        assert page.evaluate(IS_AT_END)
        asked.append({"role": "assistant", "content": said})
    assert page.evaluate("document.querySelectorAll('.message b').length") == 0
    shot(page, "chat", tmp_path)
    page.evaluate("document.getElementById('reset').click()")
    assert page.evaluate("document.querySelectorAll('.message').length") == 0


def test_escape_stops_an_answer_and_frees_its_blocks(server: Running, page: Tab) -> None:
    page.evaluate("document.getElementById('max-tokens').value = 200")
    ask(page, "hello world")
    page.wait(f"{ANSWER}.length > 0")
    page.press("Escape")
    page.wait("!document.getElementById('send').disabled")
    stats = server.state.engine.stats
    wait_until(lambda: (stats().num_running, stats().num_free_blocks) == (0, stats().num_blocks))


def test_the_map_shows_blocks_that_are_held_kept_and_hot(server: Running, page: Tab, tmp_path: Path) -> None:
    body = {"prompt": "one two three " * 8, "max_tokens": 1}
    for _ in range(4):
        assert server.ask("/v1/completions", body, Authorization="Bearer one").status == 200
    blocks = server.ask("/live", Authorization="Bearer one").json["blocks"]
    hot = blocks["counts"]["F"]
    assert hot > 4
    assert sum(blocks["counts"].values()) == server.state.engine.stats().num_blocks
    page.wait(f"document.getElementById('count-hot').textContent === '{hot}'")
    page.wait(f"document.getElementById('count-findable').textContent === '{blocks['counts']['f']}'")
    page.wait("document.getElementById('first-p50').textContent.endsWith('s')")
    is_hot_drawn = """(() => {
      const map = document.getElementById('map'), box = document.createElement('i');
      box.className = 'hot'; document.body.append(box);
      const wanted = getComputedStyle(box).backgroundColor.match(/\\d+/g).map(Number); box.remove();
      const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4) count += wanted.every((part, k) => part === data[i + k]);
      return count;
    })()"""
    assert page.evaluate(is_hot_drawn) == hot * 64
    shot(page, "light", tmp_path)
    page.set_dark(True)
    page.wait(f"document.getElementById('running').textContent === '0' && {is_hot_drawn} > 0")
    shot(page, "dark", tmp_path)
    page.set_dark(False)


def test_without_the_key_the_page_asks_for_it(server: Running, browser: Tab) -> None:
    browser.open(f"{server.url}/")
    browser.evaluate("sessionStorage.clear()")
    browser.open(f"{server.url}/")
    browser.wait("document.getElementById('model').textContent.includes('needs a key')")
    assert browser.evaluate("document.getElementById('settings').open")
    ask(browser, "hello")
    browser.wait("document.getElementById('problem').textContent.includes('needs a key')")
    assert browser.evaluate("document.getElementById('question').value") == "hello"


def test_everything_can_be_reached_by_the_keyboard_and_has_a_name(page: Tab) -> None:
    names = """[...document.querySelectorAll('input, textarea, select, button:not([hidden])')].map(
      (each) => (each.labels?.[0]?.textContent ?? each.textContent).trim())"""
    assert all(page.evaluate(names))
    page.evaluate("document.getElementById('question').focus()")
    reached = []
    for _ in range(4):
        page.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached[:2] == ["send", "reset"]


def test_nothing_is_loaded_from_elsewhere(server: Running) -> None:
    for address in PAGE_FILES:
        reply = server.ask(address)
        assert (reply.status, "'self'" in reply.headers["content-security-policy"]) == (200, True)
        assert b"http" not in reply.body.replace(b"https://www.w3.org", b"")
    files = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert files == {name for name, _ in PAGE_FILES.values()}
