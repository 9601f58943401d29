import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from quire.errors import ConfigError
from quire.observability import log


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


KINDS = pytest.mark.parametrize("stream_class", [io.StringIO, Terminal], ids=["pipe", "terminal"])


@pytest.fixture(autouse=True)
def quire_logger() -> Iterator[logging.Logger]:
    """Set back as it was, so that other tests see the library as users do: silent until configured."""
    logger = logging.getLogger("quire")
    handlers, level, propagate = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


def written(stream: io.StringIO, message: str, *args: object, level: str = "info", **facts: Any) -> str:
    log.configure(level, stream)
    logging.getLogger("quire.engine.assembly").info(message, *args, extra=facts)
    return stream.getvalue()


def test_a_pipe_gets_one_json_object_per_line() -> None:
    record = json.loads(written(io.StringIO(), "ready in %d s", 3, num_blocks=12))
    assert record.pop("time").endswith("+00:00")
    assert record == {"level": "info", "source": "engine.assembly", "message": "ready in 3 s", "num_blocks": 12}


def test_a_terminal_gets_words() -> None:
    line = written(Terminal(), "ready", num_blocks=12)
    assert line[8:] == " info engine.assembly: ready  num_blocks=12\n"


@KINDS
def test_what_users_write_never_gets_in(stream_class: type[io.StringIO]) -> None:
    text = written(stream_class(), "request", prompt="my secret", token_ids=[1, 2], content=7)
    assert "secret" not in text
    assert all(word in text for word in ("<9 long>", "<2 long>", "<withheld>"))


@KINDS
def test_a_message_cannot_forge_a_second_line(stream_class: type[io.StringIO]) -> None:
    text = written(stream_class(), "name %s", "x\n00:00:00 error fake\x1b[2J")
    assert text.count("\n") == 1
    assert "\x1b" not in text


def test_records_below_the_level_are_dropped_and_configuring_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    assert written(first, "quiet", level="warning") == ""
    assert "loud" in written(second, "loud")
    assert first.getvalue() == ""


def test_an_error_brings_its_traceback() -> None:
    stream = io.StringIO()
    log.configure("error", stream)
    try:
        raise KeyError("gone")
    except KeyError:
        logging.getLogger("quire.engine").exception("step failed")
    assert "KeyError: 'gone'" in json.loads(stream.getvalue())["traceback"]


def test_a_level_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"log level is 'warn'; allowed: .* Did you mean 'warning'"):
        log.configure("warn")
