"""The SQLite file of a collection: connections, transactions, and its errors made ours.

`writing` is a transaction of the one writer, kept whole or not at all and on the disk when it ends. `reading` sees one
state from beginning to end, whatever is written meanwhile, in this process or another. The file is there with its
tables or not at all, so one that is empty has lost them. It must never be opened but through SQLite: closing it would
let go of the locks that SQLite holds on it for the whole process.

Threads: any number may read; the writer's transactions are taken one at a time by the caller.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from quire.errors import CorruptIndexError, StorageError
from quire.retrieval.store.files.folders import sync_folder

DATABASE = "quire.db"
BEGUN = "quire.db.new"
"""What it is called while its tables are made."""
BUSY_TIMEOUT_S = 30.0
FORMAT = 1
APPLICATION_ID = 0x51554952  # "QUIR"

SCHEMA = f"""
CREATE TABLE state (version INTEGER NOT NULL, horizon INTEGER NOT NULL);
INSERT INTO state VALUES (1, 1);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    origin TEXT NOT NULL,
    kind TEXT NOT NULL,
    metadata TEXT NOT NULL,
    text TEXT NOT NULL
);
CREATE TABLE chunks (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL,
    id TEXT NOT NULL,
    begins INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    heading TEXT,
    text TEXT
);
CREATE INDEX chunks_by_document ON chunks (document);
CREATE TABLE vectors (chunk INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE TABLE fields (field TEXT, kind INTEGER, value, document INTEGER, PRIMARY KEY (field, kind, value, document))
    WITHOUT ROWID;
CREATE TABLE removed (chunk INTEGER PRIMARY KEY, version INTEGER NOT NULL);
CREATE INDEX removed_by_version ON removed (version);
CREATE TABLE segments (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    version INTEGER NOT NULL,
    num_rows INTEGER NOT NULL
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""


class Database:
    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Makes the tables where there are none yet. Raises StorageError, or CorruptIndexError for a damaged file."""
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        with self._translated():
            if not read_only:
                self._writer = self._open_writer()
            with self.reading() as connection:
                self._check_format(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            connection = self._take()
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.close()
                raise
            self._idle.append(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        assert self._writer is not None, "the collection is open for reading only"
        with self._translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def vacuum(self) -> None:
        """Gives the space of what was deleted back to the disk."""
        assert self._writer is not None
        with self._translated():
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    @contextmanager
    def copied_to(self, path: Path) -> Iterator[sqlite3.Connection]:
        """Writes one consistent state to a new file, which may be changed before it is used. It is one file, without a
        log beside it, so it can be read where nothing can be written."""
        with self._translated():
            copy = sqlite3.connect(path, isolation_level=None)
            try:
                with self.reading() as connection:
                    connection.backup(copy)
                yield copy
                if copy.execute("PRAGMA journal_mode = DELETE").fetchone() != ("delete",):
                    raise StorageError(f"{path} cannot be completed; there may be a fault of the disk")
            finally:
                copy.close()

    def check(self) -> Iterator[str]:
        """Reads the whole file, and says what is wrong in it."""
        with self.reading() as connection:
            for (found,) in connection.execute("PRAGMA integrity_check"):
                if found != "ok":
                    yield found

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _take(self) -> sqlite3.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        return self._connect("ro")

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self.path.absolute()))}?mode={mode}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )

    def _open_writer(self) -> sqlite3.Connection:
        if not self.path.exists():
            self._make()
        connection = self._connect("rw")
        self._check_format(connection)
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StorageError(f"{self.path} lies where memory cannot be shared; use a local file system")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        return connection

    def _make(self) -> None:
        begun = self.path.with_name(BEGUN)
        if begun.exists():  # of somebody who came no further
            begun.unlink()
        connection = sqlite3.connect(begun, isolation_level=None)
        try:
            for pragma in ("page_size = 8192", "journal_mode = OFF", "synchronous = FULL", "fullfsync = ON"):
                connection.execute(f"PRAGMA {pragma}")
            connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        finally:
            connection.close()
        begun.replace(self.path)
        sync_folder(self.path.parent)

    def _check_format(self, connection: sqlite3.Connection) -> None:
        if connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,):
            raise CorruptIndexError(f"{self.path} is damaged (it is empty); restore a snapshot of it")
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        if found != APPLICATION_ID:
            raise CorruptIndexError(f"{self.path} is no collection of Quire; give the folder of one, or a new folder")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != FORMAT:
            raise StorageError(
                f"{self.path} has format {version}; this Quire reads format {FORMAT}: "
                "add the documents to a new collection, or use the Quire that wrote it"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            is_undecodable = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorcode")
            contradicts_itself = isinstance(error, sqlite3.IntegrityError)
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or is_undecodable or contradicts_itself:
                raise CorruptIndexError(f"{self.path} is damaged ({error}); restore a snapshot of it") from error
            if isinstance(error, sqlite3.OperationalError):
                raise StorageError(f"{self.path}: {error}; what was there before is unchanged") from error
            raise
