"""A headless Chromium, driven through its DevTools protocol: enough of it to be a user of our page."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.patience import PATIENCE_S

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
USED_ROLES = {"button", "link", "textbox", "searchbox", "combobox", "spinbutton", "DisclosureTriangle"}
PALE = """(() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => rgb(color).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = (element) => {
    const color = element ? getComputedStyle(element).backgroundColor : 'rgb(255, 255, 255)';
    return rgb(color)[3] === 0 ? behind(element.parentElement) : color;
  };
  const contrast = (element) => {
    const [low, high] = [getComputedStyle(element).color, behind(element)].map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.body.querySelectorAll('*')]
    .filter((element) => hasText(element) && element.checkVisibility() && !element.disabled)
    .map((element) => [element.textContent.slice(0, 40), contrast(element)])
    .filter(([, found]) => found < 4.5);
})()"""
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio")


def program() -> str:
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    assert found is not None, "The page is tested in a Chromium, and none is here. Install one: apt install chromium"
    return found


class Tab:
    """A page that is open. `evaluate` runs JavaScript in it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count()
        self.problems: list[str] = []
        """What the page's own code failed with, or was refused."""
        for domain in ("Page", "Runtime", "Log"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            told = json.loads(self._connection.recv(timeout=PATIENCE_S))
            if told.get("method") == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(told["params"]["exceptionDetails"]))
            if told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
                self.problems.append(told["params"]["entry"]["text"])
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]

    def open(self, url: str) -> None:
        """By way of nowhere: what the page before still complained of, whose server may be gone, is not this one's."""
        self.do("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank' && document.readyState === 'complete'")
        self.problems.clear()
        self.do("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def evaluate(self, code: str) -> Any:
        told = self.do("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.evaluate(condition):
            assert time.monotonic() < deadline_s, f"never true: {condition}; {self.problems}"
            time.sleep(0.02)

    def type(self, text: str) -> None:
        """Where the cursor is."""
        self.do("Input.insertText", text=text)

    def type_keys(self, text: str) -> None:
        """As `type`, key by key, for what is no field of text."""
        for letter in text:
            for kind in ("keyDown", "keyUp"):
                self.do("Input.dispatchKeyEvent", type=kind, key=letter, text=letter if kind == "keyDown" else "")

    def press(self, key: str) -> None:
        code = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def choose_files(self, element_id: str, paths: Sequence[Path]) -> None:
        """As the dialog of a field for files does."""
        root = self.do("DOM.getDocument")["root"]["nodeId"]
        node = self.do("DOM.querySelector", nodeId=root, selector=f"#{element_id}")["nodeId"]
        self.do("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def unnamed(self) -> list[str]:
        """The roles of what can be used and has no name for who cannot see it."""
        nodes = self.do("Accessibility.getFullAXTree")["nodes"]
        used = [node for node in nodes if node["role"]["value"] in USED_ROLES]
        assert used
        return [node["role"]["value"] for node in used if not node.get("name", {}).get("value", "").strip()]

    def pale(self) -> list[list[Any]]:
        """Texts whose contrast with what is behind them is below what WCAG asks for (AA), and how much it is."""
        found: list[list[Any]] = self.evaluate(PALE)
        return found

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.do("Page.captureScreenshot", format="png")["data"]))

    def set_dark(self, is_dark: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        self.do("Emulation.setEmulatedMedia", features=features)


def shot(page: Tab, name: str, folder: Path) -> None:
    """Where QUIRE_SCREENSHOTS names a folder, the pictures stay there to be looked at."""
    page.screenshot(Path(os.environ.get("QUIRE_SCREENSHOTS", folder)) / f"{name}.png")


def ask(page: Tab, text: str) -> None:
    """Types a question to the model, and sends it."""
    page.evaluate("document.getElementById('question').focus()")
    page.type(text)
    page.press("Enter")


@contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    command = [program(), *FLAGS, "--remote-debugging-port=0", "--window-size=1200,800", f"--user-data-dir={profile}"]
    process = subprocess.Popen([*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(_socket_of(profile, process), max_size=None) as connection:
            yield Tab(connection)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _socket_of(profile: Path, process: "subprocess.Popen[bytes]") -> str:
    said, deadline_s = profile / "DevToolsActivePort", time.monotonic() + PATIENCE_S
    while not (said.exists() and said.read_text().count("\n")):
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < deadline_s, "the browser does not answer"
        time.sleep(0.02)
    port = said.read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [page for page in json.load(answer) if page["type"] == "page"]
    url: str = pages[0]["webSocketDebuggerUrl"]
    return url
