"""Keeps what was acknowledged, whatever happens: a folder with a database, segment files, a lock for the one writer.

    quire.db       documents, chunks, vectors, metadata, and which segments count (SQLite, write-ahead log)
    segments/      indexes, each file written once: what they hold can be made again from the database
    writer.lock    held while the collection is open for writing

A commit is one transaction of the database. Segments follow when enough rows have come: they are written and synced,
then one transaction names them. So at every moment the database alone says what there is. Other files are ignored.

Knows nothing of embedding, chunking and queries. Threads: all may read; writing takes turns.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

from quire.errors import ConfigError, CorruptIndexError, InvalidRequestError, StorageError
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.inverted_index import InvertedIndex
from quire.retrieval.store.files.folders import make_folder
from quire.retrieval.store.files.lock import LOCK, WriterLock
from quire.retrieval.store.files.segments import DENSE, FOLDER, KINDS, WORDS, FoldPolicy, leftovers
from quire.retrieval.store.gate import Gate
from quire.retrieval.store.state.reading import Lookups, Reading
from quire.retrieval.store.state.view import MovedOnError, View
from quire.retrieval.store.tables import rows
from quire.retrieval.store.tables.change import Change, apply, forget, remake_lookups
from quire.retrieval.store.tables.database import BEGUN, DATABASE, Database
from quire.retrieval.store.tables.rows import Connection
from quire.retrieval.store.upkeep.damage import Damage, find_damage, in_indexes
from quire.retrieval.store.upkeep.fold import Advance, Folder
from quire.retrieval.store.upkeep.snapshot import remove_folder, write_snapshot

log = logging.getLogger(__name__)

MAX_RETRIES = 5


class Store:
    """Open until `close`.

    read_only    searches beside a writer, in any number of processes.
    create       makes a new collection where there is none.
    analyzer     of words; None: that of the collection, English for a new one.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool = False,
        create: bool = True,
        analyzer: Analyzer | None = None,
        policy: FoldPolicy | None = None,
    ) -> None:
        self.path, self.is_read_only = path, read_only
        self.policy = policy or FoldPolicy()
        self._lock: WriterLock | None = None
        self._gate, self._writing, self._lookups = Gate(), Lock(), Lookups()
        with _as_storage_error(path):
            _check_folder(path, may_create=create and not read_only)
            if not read_only:
                make_folder(path / FOLDER)
                self._lock = WriterLock(path / LOCK)
        try:
            with _as_storage_error(path):
                self._database: Database | None = Database(path / DATABASE, read_only=read_only)
            self._analyzer = self._settled_analyzer(analyzer)
            self._view = self._new_view()
            if not read_only:
                self._recover()
        except BaseException:
            self._release()
            raise

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """The newest state, which stays as it is until the end. Not to be asked for inside another reading."""
        while True:
            with self._gate.shared(), self.database.reading() as connection:
                if rows.state(connection).version == self._view.version:
                    yield Reading(connection, self._view, self._lookups)
                    return
            with self._gate.exclusive():
                self._refresh()

    def commit(self, change: Change) -> None:
        """When this returns, the change is on the disk, and searches see it; until then they go on without it. When it
        raises, nothing has changed."""
        with self._writable():
            try:
                with ExitStack() as until_seen:
                    with self.database.writing() as connection:
                        self._apply(connection, change)
                        until_seen.enter_context(self._gate.exclusive())
                    self._see_commit()
            except BaseException:
                with self._gate.exclusive():
                    self._view.drop_prepared()
                raise
        self._fold_if_due()

    def compact(self, advance: Advance) -> None:
        """One segment of each kind without anything deleted; space that is not used goes back to the disk."""
        with self._writable(), _as_storage_error(self.path):
            self._refresh_alone()
            self._view.words.compact()
            self._folder.write_words(self._view.words, self._view.version, self._view.last_key)
            self._folder.fold_dense(0, advance=advance)
            self._refresh_alone()
            self.database.vacuum()

    def verify(self, advance: Advance) -> list[Damage]:
        """Whatever is not as it was written, anywhere on the disk. Commits go on meanwhile: the long part reads a
        state of its own."""
        try:
            with self.reading() as reading:
                of_indexes = [*in_indexes(reading)]
            return [*find_damage(self.database, self.path, self._is_named, advance), *of_indexes]
        except CorruptIndexError as error:
            return [Damage("database", "", str(error))]

    def forget(self, document_ids: Sequence[str]) -> None:
        """The next update of these documents makes all again that was made from them."""
        with self._writable(), self.database.writing() as connection:
            forget(connection, document_ids)

    def rebuild(self, advance: Advance) -> None:
        """Makes all segments, and what filters look up, again from the documents, chunks and vectors."""
        with self._writable(), _as_storage_error(self.path):
            with self.database.writing() as connection:
                remake_lookups(connection)
            words = InvertedIndex(analyzer=self._analyzer)
            with self.database.reading() as connection:
                version, last_key = rows.state(connection).version, rows.last_chunk_key(connection)
                for keys, texts in rows.indexed_texts(connection, 1, last_key):
                    words.add(keys, texts)
            self._folder.write_words(words, version, last_key)
            self._folder.fold_dense(0, trust=False, advance=advance)
            self._view = self._new_view()
            self._refresh_alone()

    def snapshot(self, target: Path) -> None:
        """Copies the newest state to a new folder, while others read and write."""
        with _as_storage_error(target):
            write_snapshot(self.database, self.path, target)

    def close(self) -> None:
        """Waits for whoever reads or writes. A second time does nothing."""
        with self._writing, self._gate.exclusive():
            self._release()

    @property
    def database(self) -> Database:
        if self._database is None:
            raise StorageError(f"the collection {self.path} is closed; open it again")
        return self._database

    @property
    def _folder(self) -> Folder:
        return Folder(self.path, self.database, self.policy)

    def _new_view(self) -> View:
        return View(self.path, self._analyzer, self._is_named)

    def _is_named(self, segment_name: str) -> bool:
        with self.database.reading() as connection:
            return any(segment.name == segment_name for kind in KINDS for segment in rows.segments(connection, kind))

    @contextmanager
    def _writable(self) -> Iterator[None]:
        if self._database is not None and self.is_read_only:
            raise InvalidRequestError(f"the collection {self.path} is open for reading only; open it without read_only")
        with self._writing:
            yield

    def _apply(self, connection: Connection, change: Change) -> None:
        """Makes the change, and what of the view can be made while others search."""
        is_followed = rows.state(connection).version == self._view.version
        apply(connection, change)
        if is_followed:
            with self._gate.exclusive():
                self._view.hide_new()
            self._view.prepare(connection)

    def _refresh_alone(self) -> None:
        with self._gate.exclusive():
            self._refresh()

    def _refresh(self) -> None:
        """Brings the view to the newest state. REQUIRES: alone at the gate."""
        for _ in range(MAX_RETRIES):
            try:
                with self.database.reading() as connection:
                    return self._view.refresh(connection)
            except MovedOnError:
                self._view = self._new_view()
            except BaseException:
                self._view = self._new_view()
                raise
        raise StorageError(f"{self.path} is rewritten faster than it can be opened; try again")

    def _see_commit(self) -> None:
        """What is committed stays so: a view that fails to follow is made anew by who reads next."""
        try:
            self._refresh()
        except Exception:
            log.exception("a change is on the disk, but not in the indexes in memory; they are made anew")

    def _fold_if_due(self) -> None:
        """Segments only save time, so a disk that has no room for one does not fail what was committed."""
        try:
            with self._writing, _as_storage_error(self.path):
                self._fold_dense_if_due()
                self._write_words_if_due()
        except StorageError as error:
            log.warning("a segment could not be written; it is tried again later", extra={"error": str(error)})

    def _fold_dense_if_due(self) -> None:
        with self.database.reading() as connection:
            manifest = rows.segments(connection, DENSE)
        found = self._view.dense_sizes
        sizes = [segment.num_rows for segment in manifest]
        dead = [segment.num_rows - found.get(segment.name, 0) for segment in manifest]
        first = self.policy.dense_from(sizes, dead, self._view.num_new_dense)
        if first is not None:
            self._folder.fold_dense(first)
            self._refresh_alone()

    def _write_words_if_due(self) -> None:
        with self.database.reading() as connection:
            manifest = rows.segments(connection, WORDS)
        words, last_key = self._view.words, self._view.last_key
        num_new = last_key - (manifest[0].last if manifest else 0)
        is_damaged = any(segment.name in self._view.damaged for segment in manifest)
        if is_damaged or self.policy.should_write_words(len(words), num_new):
            self._folder.write_words(words, self._view.version, last_key)

    def _settled_analyzer(self, given: Analyzer | None) -> Analyzer:
        """The one that the collection was made with; a new collection keeps the given one."""
        with self.database.reading() as connection:
            known = rows.settings(connection).get("analyzer")
        if known is None:
            given = given or Analyzer()
            if not self.is_read_only:
                with self.database.writing() as connection:
                    rows.set_setting(connection, "analyzer", given.description)
            return given
        analyzer = given or Analyzer.described(known)
        if analyzer.description != known:
            raise ConfigError(f"analyzer is {analyzer.description}, but {self.path} was made with {known}")
        return analyzer

    def _recover(self) -> None:
        """Removes what a fold that was cut short has left, and mends damaged segments."""
        with self.database.reading() as connection:
            named = {segment.name for kind in KINDS for segment in rows.segments(connection, kind)}
        for path in leftovers(self.path, named):
            path.unlink(missing_ok=True)
        self._refresh_alone()
        if self._view.damaged:
            self._fold_if_due()

    def _release(self) -> None:
        if getattr(self, "_database", None) is not None:
            self.database.close()
        self._database = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def remove_store(path: Path) -> None:
    """Raises InvalidRequestError where there is none, CollectionLockedError while somebody writes to it."""
    with _as_storage_error(path):
        _check_folder(path, may_create=False)
        remove_folder(path)


def _check_folder(path: Path, *, may_create: bool) -> None:
    if (path / DATABASE).exists():
        return
    if not may_create:
        raise InvalidRequestError(f"there is no collection at {path}; add documents to make one", param="path")
    if path.exists() and (
        not path.is_dir() or any(entry.name not in (LOCK, FOLDER, BEGUN) for entry in path.iterdir())
    ):
        raise InvalidRequestError(f"{path} holds something else; give an empty or a new folder", param="path")


@contextmanager
def _as_storage_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror or error}") from error
