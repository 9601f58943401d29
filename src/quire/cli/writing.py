"""Files that a command writes: a place where none can be is the user's to mend, and is said in a line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quire.errors import ConfigError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises ConfigError where the file or folder cannot be written inside."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error


def make_room(*paths: Path | None) -> None:
    """The folders of these files, made before the work begins whose result they are to hold."""
    for path in filter(None, paths):
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")


def make_folder(path: Path | None) -> None:
    if path is not None:
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
