"""Log records as people read them on a terminal, and as programs read them everywhere else: one JSON object per line.

Everyone logs with the standard library, `logging.getLogger(__name__)`, facts as `extra={"num_blocks": 12}`; only a
program (the command line, the server) calls `configure`. Knows nothing of who logs.

Invariant: a record is one line, whatever its message holds (a traceback follows on lines of its own), and what a user
wrote or was answered is never a fact of it: of the fields in `PRIVATE` only the length is.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from quire.errors import ConfigError, suggest

LEVELS = ("debug", "info", "warning", "error")
PRIVATE = frozenset({"prompt", "prompts", "text", "messages", "content", "output", "token_ids"})
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Quire's records of this level and above go to `stream` (stderr), as JSON unless it is a terminal.
    Calling it again replaces what was configured before; other libraries' loggers are left alone."""
    if level not in LEVELS:
        raise ConfigError(f"log level is {level!r}; allowed: {', '.join(LEVELS)}.{suggest(level, LEVELS)}")
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter() if stream.isatty() else JsonFormatter())
    logger = logging.getLogger("quire")
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


class HumanFormatter(logging.Formatter):
    """`12:34:56 info engine.assembly: KV cache ready  num_blocks=12`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        facts = "".join(f"  {name}={value}" for name, value in _facts(record).items())
        line = _on_one_line(f"{record.getMessage()}{facts}")
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{clock} {record.levelname.lower()} {_source(record)}: {line}{trace}"


class JsonFormatter(logging.Formatter):
    """`{"time": …, "level": "info", "source": "engine.assembly", "message": "KV cache ready", "num_blocks": 12}`."""

    def format(self, record: logging.LogRecord) -> str:
        head = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "source": _source(record),
            "message": record.getMessage(),
        }
        trace = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(head | _facts(record) | head | trace, ensure_ascii=False, default=str)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """The `extra` of a record, the private ones by their length."""
    given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {name: _length(value) if name in PRIVATE else value for name, value in given.items()}


def _length(value: Any) -> str:
    return f"<{len(value)} long>" if hasattr(value, "__len__") else "<withheld>"


def _source(record: logging.LogRecord) -> str:
    return record.name.removeprefix("quire.")


def _on_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
