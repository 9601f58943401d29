"""Files and folders that are still there after a power cut: what is made is synced, and so is the folder it is in."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path


def make_folder(path: Path) -> None:
    """And those above it, each synced into the one above. Nothing happens to a folder that is there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """What was made, renamed or removed in the folder."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(path: Path) -> None:
    _sync(path, os.O_RDONLY)


def link_or_copy(source: Path, target: Path) -> None:
    """The same file under a second name where the file system can; otherwise a synced copy. For files that never
    change."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copyfile(source, target)
        sync_file(target)


def num_bytes_in(folder: Path) -> int:
    """Of the files there and below. Those that go meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(place) / name).stat().st_size
    return total


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
