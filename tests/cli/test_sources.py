"""Where a flag's value comes from, judged by what the command receives."""

import logging
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from quire.cli.flags import with_flags
from quire.cli.sources import ConfigFile
from quire.errors import ConfigError
from tests.cli.test_flags import Knobs


def received(*arguments: str, **environment: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @with_flags(knobs=Knobs)
    def command(word: str = "", config: ConfigFile = None, *, knobs: dict[str, Any]) -> None:
        found.update(knobs, **({"word": word} if word else {}))

    result = CliRunner(env=environment).invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return found


def in_file(tmp_path: Path, text: str) -> tuple[str, str]:
    path = tmp_path / "server.yaml"
    path.write_text(text)
    return "--config", str(path)


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    config = in_file(tmp_path, "size: 1\nrate: 0.1\nleast: 3\n")
    assert received(*config, "--size", "5", QUIRE_SIZE="6", QUIRE_RATE="0.25") == {"size": 5, "rate": 0.25, "least": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# nothing but a remark", {}),
        ("is-loud: yes", {"is_loud": True}),
        ("is_loud: false", {"is_loud": False}),
        ("most: none", {"most": None}),
        ("stop: end", {"stop": ["end"]}),
        ("stop: [a, 'b, c']", {"stop": ["a", "b, c"]}),
        ("ids:\n  - 4\n  - 2", {"ids": [4, 2]}),
        ("bias: [4=-1.5]", {"bias": {4: -1.5}}),
        ("shape-regex: a+", {"shape": "Shape(choice=None, regex='a+')"}),
        ("word: hello", {"word": "hello"}),
    ],
)
def test_a_value_in_the_file_means_what_it_means_on_the_command_line(
    tmp_path: Path, text: str, expected: dict[str, Any]
) -> None:
    found = received(*in_file(tmp_path, text))
    assert {name: str(value) if name == "shape" else value for name, value in found.items()} == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: 1\nszie: 2", r"server.yaml, line 2: there is no flag 'szie'. Did you mean 'size'\?"),
        ("size: 1\n\nsize: 2", r"line 3: size stands in .*server.yaml, line 1 already"),
        ("rate: 1\nsize: many", "line 2: size is 'many'; input should be a valid integer"),
        ("size: 2.5", "line 1: size is '2.5'"),
        ("size:", "line 1: size cannot be read; allowed: one value"),
        ("size: [1, 2]", "line 1: size cannot be read; allowed: one value"),
        ("ids: {a: 1}", "line 1: ids cannot be read; allowed: a value or a list"),
        ("config: other.yaml", "there is no flag 'config'"),
        ("- size", "is no list of flags"),
        ("size: 'x", "cannot be read as YAML"),
        ("size: !!python/object/apply:os.getcwd []", "line 1: size cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        received(*in_file(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml' cannot be read as YAML"):
        received("--config", str(tmp_path / "no.yaml"))


def test_the_file_can_be_named_in_the_environment(tmp_path: Path) -> None:
    assert received(QUIRE_CONFIG=in_file(tmp_path, "size: 4")[1]) == {"size": 4}


def test_commas_separate_what_a_variable_lists() -> None:
    assert received(QUIRE_STOP="a, b", QUIRE_IDS="4,2", QUIRE_WORD="a, b", QUIRE_SIZE="") == {
        "stop": ["a", "b"],
        "ids": [4, 2],
        "word": "a, b",
    }


def test_a_variable_that_cannot_be_read_is_named() -> None:
    with pytest.raises(
        ConfigError, match=r"QUIRE_SIZE: size is 'tcp://10\.0\.0\.1:80'; input should be a valid integer"
    ):
        received(QUIRE_SIZE="tcp://10.0.0.1:80")


def test_a_variable_almost_right_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="quire"):
        assert received(QUIRE_SZIE="3", QUIRE_SOMETHING_ELSE="x") == {}
    assert [record.getMessage() for record in caplog.records] == [
        "QUIRE_SZIE in the environment is no knob. Did you mean QUIRE_SIZE?"
    ]
