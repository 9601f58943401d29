"""A real server on a free port, in a thread of this process, and a raw connection to it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from tempfile import TemporaryDirectory
from typing import Any

from quire.engine.async_engine import AsyncEngine
from quire.engine.engine import LLMEngine
from quire.server.app import create_app
from quire.server.run import DrainingServer, open_port
from quire.server.settings import ServerSettings
from quire.server.state import ServedModel, ServerState
from tests.patience import PATIENCE_S, wait_until


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        return error


@dataclass
class Running:
    server: DrainingServer
    port: int
    thread: threading.Thread

    @property
    def state(self) -> ServerState:
        return self.server.config.app.state.server  # type: ignore[union-attr]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Any = None, *, method: str | None = None, **headers: str) -> Reply:
        """One request; `body` is sent as JSON unless it is bytes already."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Content-Type": "application/json", **named} if data is not None else named
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
            response = connection.getresponse()
            lowered = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, lowered, response.read())
        finally:
            connection.close()

    def events(self, path: str, body: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
        """The events of a stream, which must end as streams do."""
        reply = self.ask(path, {**body, "stream": True}, **headers)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8"), reply.body
        *events, done, rest = reply.body.decode().split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def events_until_error(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The events of a stream that ends with an error, and says no more after it."""
        text = self.ask(path, {**body, "stream": True}).body.decode()
        assert "[DONE]" not in text
        return [json.loads(event.removeprefix("data: ")) for event in text.split("\n\n") if event]

    def raw(self, data: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        connection.sendall(data)
        return connection


@contextmanager
def running(
    load: LLMEngine | Callable[[], AsyncEngine], model: ServedModel | None = None, **settings: Any
) -> Iterator[Running]:
    """Ready to be asked, where there is an engine already; drained at the end."""
    with TemporaryDirectory() as folder:
        yield from _running(load, model, {"collection_folder": folder, "shutdown_timeout_s": 5.0, **settings})


def _running(
    load: LLMEngine | Callable[[], AsyncEngine], model: ServedModel | None, settings: dict[str, Any]
) -> Iterator[Running]:
    make = (lambda: AsyncEngine(load)) if isinstance(load, LLMEngine) else load
    listener = open_port("127.0.0.1", 0)
    chosen = ServerSettings(**settings)
    app = create_app(make, model or ServedModel(("tiny", "alias")), chosen, on_load_error=lambda: server.drain())
    server = DrainingServer(app, chosen)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    port = listener.getsockname()[1]
    thread.start()
    found = Running(server, port, thread)
    try:
        if isinstance(load, LLMEngine):
            wait_until(lambda: found.ask("/ready").status == 200)
        yield found
    finally:
        server.drain()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
