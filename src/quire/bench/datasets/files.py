"""Lines of large files, one at a time: plain, gzip or bzip2, whatever the name says. What is wrong is said by file and
line.

Memory is bounded by the longest line, and that by MAX_LINE_BYTES. Knows nothing of what the lines mean.
"""

import bz2
import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from quire.errors import ConfigError, shown

MAX_LINE_BYTES = 1 << 26
GZIP, BZIP2 = b"\x1f\x8b", b"BZh"
SUFFIXES = ("", ".gz", ".bz2")


def wrong(path: Path, number: int, what: str) -> ConfigError:
    return ConfigError(f"{path}:{number}: {what}")


def find(folder: Path, name: str) -> Path | None:
    """The file of that name in the folder, as it is or compressed."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()), None)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """What the file holds once unpacked. Raises ConfigError where it cannot be read, or ends too early."""
    try:
        with path.open("rb") as probe:
            start = probe.read(3)
        with _unpacked(path, start) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Without their ends and without those that are blank; the first is 1."""
    with opened(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise wrong(path, number, f"a line longer than {MAX_LINE_BYTES >> 20} MiB")
            try:
                text = line.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise wrong(path, number, f"no UTF-8: {error}") from error
            if text.strip():
                yield number, text.removeprefix("\ufeff")


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """An object a line."""
    for number, line in numbered_lines(path):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise wrong(path, number, f"no JSON: {error}") from error
        if not isinstance(value, dict):
            raise wrong(path, number, f"{shown(value)} is no JSON object")
        yield number, value


def rows(path: Path, columns: int, *, separator: str | None = "\t") -> Iterator[tuple[int, list[str]]]:
    """A row a line, of so many columns; with no separator, any white space separates."""
    for number, line in numbered_lines(path):
        cells = line.split(separator, columns - 1)
        if len(cells) != columns:
            raise wrong(path, number, f"{len(cells)} columns in {shown(line)}; there should be {columns}")
        yield number, cells


def text_of(value: dict[str, Any], names: tuple[str, ...], path: Path, number: int) -> str:
    """The first of the fields that is there, as text. A number is text too; raises ConfigError where there is none."""
    for name in names:
        if name in value:
            found = value[name]
            if isinstance(found, bool) or not isinstance(found, str | int):
                raise wrong(path, number, f"{name} is {shown(found)}, which is no text")
            return str(found)
    raise wrong(path, number, f"no field {' or '.join(names)}; it has {', '.join(value) or 'none'}")


def grade_of(text: str, path: Path, number: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise wrong(path, number, f"the grade is {shown(text)}, which is no number") from None


def _unpacked(path: Path, start: bytes) -> IO[bytes]:
    if start.startswith(GZIP):
        return cast(IO[bytes], gzip.open(path, "rb"))
    if start.startswith(BZIP2):
        return bz2.open(path, "rb")
    return path.open("rb")
