"""`quire serve` as a process: what it says, when it ends, and the user's mistakes in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from quire.cli.app import app
from quire.server import run
from quire.server.settings import ServerSettings
from quire.server.state import ServedModel
from tests.patience import PATIENCE_S


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The process and its address, as it says it in the log."""
    command = [sys.executable, "-m", "quire.cli", "serve", "--port", "0", "--num-threads", "1", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)
    assert process.stderr is not None
    try:
        url = ""
        for line in process.stderr:
            record = json.loads(line) if line.startswith("{") else {}
            url = record.get("url", url)
            if record.get("message") == "ready":
                break
        yield process, url
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_it_serves_the_model_we_carry_until_sigterm() -> None:
    with serving("--served-model-name", "mine", QUIRE_API_KEY="one, two") as (process, url):
        request = urllib.request.Request(f"{url}/v1/models", headers={"Authorization": "Bearer two"})
        with urllib.request.urlopen(request) as response:
            assert [model["id"] for model in json.load(response)["data"]] == ["mine"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "99999"], "port is 99999; allowed: 0 (any free one) to 65535."),
        (["--host", "no.such.host.invalid"], "of no.such.host.invalid cannot be opened"),
        (["--api-key", "with space"], "An api_key is empty or holds white space"),
        (["--requests-per-s", "0.01"], "admits nothing"),
        (["--max-body-bytes", "0"], "max_body_bytes is 0; allowed: a number above 0."),
        (["--chat-template", "no/such/file"], "neither Jinja text nor a file"),
        (["--ssl-keyfile", "x"], "ssl_keyfile is given without ssl_certfile"),
        (["--port", "0", "--ssl-certfile", "no/such/file"], "ssl_certfile 'no/such/file' cannot be used"),
        (["--max-num-seqs", "0"], "max_num_seqs is 0"),
        (["--port", "0", "--collection-folder", __file__], "which is no folder"),
    ],
    ids=lambda value: value[-2].strip("-") if isinstance(value, list) else "",
)
def test_a_users_mistake_is_one_line(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["--log-level", "error", "serve", "somewhere", *arguments])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert message in result.stderr


def test_a_port_that_is_taken_is_said_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "no/such/model", "--port", port])
        beside = CliRunner().invoke(app, ["serve", "no/such/model", "--port", "0", "--grpc-port", port])
    assert result.exit_code == 2
    assert f"error: Port {port} of 127.0.0.1 cannot be opened: Address already in use. Choose another" in result.stderr
    assert "Choose another with --grpc-port" in beside.stderr


def test_a_model_that_is_not_there_ends_the_server_in_one_line() -> None:
    result = CliRunner().invoke(app, ["--log-level", "error", "serve", "./no/such/model", "--port", "0"])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.stderr
    assert "no/such/model" in result.stderr


def test_flags_reach_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[ServedModel, ServerSettings]] = []
    monkeypatch.setattr(run, "serve", lambda load, model, settings: asked.append((model, settings)))
    (tmp_path / "t.jinja").write_text("{{ messages }}")
    line = ["serve", "m", "--port", "9", "--api-key", "a", "--api-key", "b", "--scheduling-policy", "slo"]
    line += ["--max-queued-requests", "none", "--chat-template", str(tmp_path / "t.jinja")]
    assert CliRunner().invoke(app, line).exit_code == 0
    (found,) = asked
    assert found == (
        ServedModel(("m",), chat_template="{{ messages }}", is_by_deadline=True),
        ServerSettings(port=9, api_key=("a", "b"), max_queued_requests=None),
    )


@pytest.mark.parametrize(
    ("line", "names", "keys"),
    [
        ("m --served-model-name a b", ("a", "b"), ()),
        ("m --served-model-name a b --api-key k l --port 9", ("a", "b"), ("k", "l")),
        ("--served-model-name a m --api-key=k l", ("a",), ("k", "l")),
        ("--api-key k --model m --served-model-name a", ("a",), ("k",)),
        ("--model=m --max-queued-requests 5 --served-model-name a b", ("a", "b"), ()),
        ("-tp 2 -q int8 m", ("m",), ()),
        ("--no-enable-prefix-caching m", ("m",), ()),
    ],
)
def test_what_vllms_users_type(
    monkeypatch: pytest.MonkeyPatch, line: str, names: tuple[str, ...], keys: tuple[str, ...]
) -> None:
    asked: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    monkeypatch.setattr(run, "serve", lambda load, model, settings: asked.append((model.names, settings.api_key)))
    assert CliRunner().invoke(app, ["serve", *line.split()]).exit_code == 0
    assert asked == [(names, keys)]


def test_a_file_and_the_environment_reach_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[ServerSettings] = []
    monkeypatch.setattr(run, "serve", lambda load, model, settings: asked.append(settings))
    (tmp_path / "c.yaml").write_text("model: m\nport: 9\nhost: 0.0.0.0\nserved-model-name: [a, b]\n")
    runner = CliRunner(env={"QUIRE_HOST": "::1", "QUIRE_API_KEY": "k, l"})
    assert runner.invoke(app, ["serve", "--config", str(tmp_path / "c.yaml"), "--port", "7"]).exit_code == 0
    assert asked == [ServerSettings(host="::1", port=7, served_model_name=("a", "b"), api_key=("k", "l"))]
