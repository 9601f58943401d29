"""One writer at a time: a lock file that the kernel lets go of when its process ends, however it ends."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from quire.errors import CollectionLockedError, StorageError

LOCK = "writer.lock"


class WriterLock:
    """Held from the start until `release`. Raises CollectionLockedError, which names the process that holds it."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written ({error.strerror}); open the collection with read_only=True to search it"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise CollectionLockedError(
                f"{path.parent} is open for writing by process {holder}; close it there, "
                "or open it with read_only=True to search beside it"
            ) from None
        except OSError as error:
            os.close(self._file)
            raise StorageError(f"{path} cannot be locked ({error.strerror}); use another file system") from error
        with suppress(OSError):  # a full disk holds the lock as well as another, only without its holder's name
            os.pwrite(self._file, f"{os.getpid():<31}\n".encode(), 0)

    def release(self) -> None:
        """Also of copies that a fork has made."""
        fcntl.flock(self._file, fcntl.LOCK_UN)
        os.close(self._file)
