"""Copies a collection as it is at one moment, beside whoever writes to it: a folder that is a collection too.

    .NAME.unfinished    while it is made; what a crash leaves of it is harmless, and the next attempt begins anew
    NAME                from the moment when all of it is on the disk

Segments never change, so the copy shares their files where the file system can. One that was replaced meanwhile is left
out: its rows are in the copied database, and whoever opens the copy indexes them.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from quire.errors import InvalidRequestError
from quire.retrieval.store.files.folders import link_or_copy, make_folder, sync_folder
from quire.retrieval.store.files.lock import LOCK, WriterLock
from quire.retrieval.store.files.segments import FOLDER, KINDS, path_of
from quire.retrieval.store.tables import rows
from quire.retrieval.store.tables.database import DATABASE, Database
from quire.retrieval.store.tables.rows import Connection


def write_snapshot(database: Database, source: Path, target: Path) -> None:
    """Raises InvalidRequestError where something is already, and OSError; then nothing is at `target`."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequestError(f"{target} is there already; remove it, or give another place", param="path")
    make_folder(target.parent)
    unfinished = target.with_name(f".{target.name}.unfinished")
    unfinished.mkdir(exist_ok=True)
    lock, made = WriterLock(unfinished / LOCK), unfinished
    try:
        _clear(unfinished)
        make_folder(unfinished / FOLDER)
        with database.copied_to(unfinished / DATABASE) as copy:
            _take_segments(copy, source, unfinished)
        sync_folder(unfinished / FOLDER)
        sync_folder(unfinished)
        made = unfinished.rename(target)
        sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    finally:
        lock.release()


def remove_folder(path: Path) -> None:
    """A collection that nobody writes to, all at once for whoever looks; readers keep what they have open."""
    lock = WriterLock(path / LOCK)
    try:
        removed = path.with_name(f".{path.name}.removed")
        shutil.rmtree(removed, ignore_errors=True)  # what an earlier attempt has left
        path.rename(removed)
        sync_folder(path.parent)
        shutil.rmtree(removed, ignore_errors=True)
    finally:
        lock.release()


def _take_segments(copy: Connection, source: Path, target: Path) -> None:
    for segment in (segment for kind in KINDS for segment in rows.segments(copy, kind)):
        try:
            link_or_copy(path_of(source, segment), path_of(target, segment))
        except FileNotFoundError:
            copy.execute("DELETE FROM segments WHERE name = ?", (segment.name,))


def _clear(unfinished: Path) -> None:
    """What an earlier attempt has left."""
    for entry in unfinished.iterdir():
        if entry.name == LOCK:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            with suppress(FileNotFoundError):
                entry.unlink()
