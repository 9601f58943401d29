"""A collection of documents that can be searched by meaning and by words, and that survives whatever happens to it.

    with Collection.open("notes") as notes:
        notes.add([{"id": "1", "text": "Quires are gatherings of pages.", "metadata": {"year": 2024}}])
        notes.search("what is a quire?", filter={"year": {"$gte": 2020}})

Documents are cut into chunks; a search finds chunks. What `add`, `update` and `delete` have returned from is on the
disk. One process writes, any number read beside it, and each search sees one state. All methods may be called from many
threads.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from quire.errors import InvalidRequestError
from quire.observability.progress import WorkProgress
from quire.retrieval.analyzer import Analyzer
from quire.retrieval.chunking import Chunker as TokenChunker
from quire.retrieval.collection.documents import Document, checked_documents, checked_ids
from quire.retrieval.collection.ingest import Ingest, Written
from quire.retrieval.collection.places import place_of
from quire.retrieval.collection.repair import mend_documents
from quire.retrieval.collection.search import DEPTH, Fusion, Hit, Mode, Request, Timed, run
from quire.retrieval.collection.vectors import DEFAULT_EMBEDDER, Source, VectorSource
from quire.retrieval.embedding import Chunker, Embedder, Reranker, Vectors
from quire.retrieval.store.files.folders import num_bytes_in
from quire.retrieval.store.files.segments import FoldPolicy
from quire.retrieval.store.store import Store
from quire.retrieval.store.tables import filters, rows
from quire.retrieval.store.tables.change import Change
from quire.retrieval.store.upkeep.damage import Damage


@dataclass(frozen=True, slots=True)
class CollectionStats:
    path: str
    num_documents: int
    num_chunks: int
    version: int
    dim: int | None
    """Of the vectors; None where there are none."""
    vectors: Source | None
    """Where they come from: embedder, own or none. None: the first documents will settle it."""
    embedder: str | None
    """Fingerprint of the model that made them."""
    num_segments: int
    num_new_chunks: int
    """Chunks whose vectors no segment holds yet."""
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A document without its text."""

    place: int
    """In the order of the documents: of no other one, ever."""
    id: str
    kind: str
    metadata: dict[str, Any]
    num_chars: int


class Collection:
    """Made by `open` and `restore`."""

    def __init__(self, store: Store, vectors: VectorSource, chunker: Chunker) -> None:
        self._store = store
        self._vectors = vectors
        self._ingest = Ingest(store, chunker, vectors)
        self._others = ThreadPoolExecutor(thread_name_prefix="quire-words")

    @classmethod
    def open(
        cls,
        path_or_name: str | os.PathLike[str],
        *,
        embedder: Embedder | str | None = DEFAULT_EMBEDDER,
        create: bool = True,
        read_only: bool = False,
        chunker: Chunker | None = None,
        analyzer: Analyzer | None = None,
        policy: FoldPolicy | None = None,
    ) -> Self:
        """A name means a folder below $QUIRE_HOME, a path with a separator itself.

        embedder     of text, or the name of a model; the default is loaded when first needed. None: words only, or
                     vectors of one's own.
        create       makes a collection where there is none.
        read_only    does not keep others from writing.
        chunker      how documents that are added are cut; None: `quire.Chunker()`. `WholeDocuments()` does not cut.
        analyzer     of words; None: that of the collection, English for a new one.
        policy       when files are written; leave it alone.

        Raises InvalidRequestError where there is no collection, ConfigError for an embedder or analyzer other than the
        one it was made with, CollectionLockedError while another process writes, CorruptIndexError, StorageError.
        """
        path = place_of(path_or_name)
        store = Store(path, read_only=read_only, create=create, analyzer=analyzer, policy=policy)
        try:
            with store.reading() as reading:
                settings = rows.settings(reading.connection)
            return cls(store, VectorSource(embedder, settings), chunker or TokenChunker())
        except BaseException:
            store.close()
            raise

    def settle(self, source: Source, dim: int | None = None) -> None:
        """Says where vectors come from before the first documents do: `embedder`, `own`, of so many numbers, or `none`.

        Raises InvalidRequestError where that is settled already, ConfigError for `embedder` where there is none.
        """
        with self._ingest.turn:
            self._source()
            settled = self._vectors.chosen(source, dim)
            self._store.commit(Change(settings=settled))
            self._vectors.remember(settled)

    def add(self, documents: Iterable[Document], *, progress: bool = True) -> Written:
        """Adds new documents; those that are there already as they are stay.

        Raises InvalidRequestError, before anything is written, for one that is there with other content. Documents are
        written in batches, so that what was done before an error or a crash need not be done again.
        """
        return self._write(documents, replaces=False, progress=progress)

    def update(self, documents: Iterable[Document], *, progress: bool = True) -> Written:
        """Puts documents in place of those with the same ids, or adds them. Chunks that say what they said stay."""
        return self._write(documents, replaces=True, progress=progress)

    def delete(self, ids: Iterable[str]) -> int:
        """Takes documents out, all at once; returns how many there were."""
        wanted = checked_ids(ids)
        with self._ingest.turn:
            with self._store.reading() as reading:
                keys = [key for key, _, _ in rows.known(reading.connection, wanted).values()]
            if keys:
                self._store.commit(Change(deleted_keys=keys))
        return len(keys)

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        mode: Mode | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        fusion: str | Fusion = "rrf",
        weights: Mapping[str, float] | None = None,
        depth: int = DEPTH,
        rerank: Reranker | None = None,
        vector: npt.ArrayLike | None = None,
    ) -> list[Hit]:
        """The passages that answer best, best first, at most k; none for a query without a word.

        mode       hybrid: by meaning and by words; dense, lexical: by one of the two. None: hybrid where there are
                   vectors.
        filter     on metadata: {"lang": "en", "year": {"$gte": 2020}}. docs/collections.md has the operators.
        fusion     rrf, weighted or dbsf, or a function such as those of quire.retrieval.fusion.
        weights    of "dense" and "lexical" in the fusion; 1 unless given.
        depth      hits of each part that are fused and reranked. More: better, slower.
        rerank     judges the fused hits again.
        vector     of the query, in place of the embedder's.
        """
        tree = filters.parse(filter)
        return self.ask(Request(query, k, mode or self.best_mode, tree, fusion, weights, depth, rerank), vector)

    def ask(self, request: Request, vector: npt.ArrayLike | None = None, timed: Timed = nullcontext) -> list[Hit]:
        """Answers a request that was checked. `timed` is entered with the name of each stage (search.py) around it."""
        embed = self._query_vector(request, vector)
        if vector is None and not request.query.strip():
            return []
        return run(request, self._store.reading, embed, self._others, timed)

    def get(self, document_id: str) -> Document | None:
        """The document as it was added, without a vector."""
        with self._store.reading() as reading:
            stored = reading.document(document_id)
        if stored is None:
            return None
        document: Document = {
            "id": stored.id,
            "text": stored.text,
            "metadata": rows.metadata_of(stored.id, stored.metadata),
        }
        return document if stored.kind == "text" else {**document, "kind": stored.kind}

    def ids(self) -> list[str]:
        """Of all documents, in the order in which they came."""
        with self._store.reading() as reading:
            return rows.document_ids(reading.connection)

    def listed(self, limit: int, after: int = 0) -> list[DocumentSummary]:
        """At most `limit` documents, in the order in which they came, from behind the one at the place `after`."""
        with self._store.reading() as reading:
            found = rows.documents_after(reading.connection, after, limit)
        return [
            DocumentSummary(place, document_id, kind, rows.metadata_of(document_id, metadata), num_chars)
            for place, document_id, kind, metadata, num_chars in found
        ]

    def count(self) -> int:
        """How many documents there are."""
        with self._store.reading() as reading:
            return rows.count(reading.connection, "documents")

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, document_id: str) -> bool:
        with self._store.reading() as reading:
            return bool(rows.known(reading.connection, [document_id]))

    @property
    def path(self) -> Path:
        return self._store.path

    @property
    def version(self) -> int:
        """Another number after every change of what the collection holds, whoever made it."""
        with self._store.reading() as reading:
            return reading.version

    @property
    def best_mode(self) -> Mode:
        """Hybrid where there are vectors, else lexical."""
        return "lexical" if self._source() in (None, "none") else "hybrid"

    def stats(self) -> CollectionStats:
        with self._store.reading() as reading:
            settings = rows.settings(reading.connection)
            return CollectionStats(
                str(self.path),
                rows.count(reading.connection, "documents"),
                rows.count(reading.connection, "chunks"),
                reading.version,
                settings.get("dim"),
                settings.get("source"),
                settings.get("embedder"),
                rows.count(reading.connection, "segments"),
                reading.view.num_new_dense,
                num_bytes_in(self.path),
            )

    def compact(self, *, progress: bool = True) -> None:
        """Makes searches and files as small and quick as they can be, after much was deleted."""
        with WorkProgress("Compacting", self.stats().num_chunks, enabled=progress) as bar:
            self._store.compact(bar.advance)

    def snapshot(self, path: str | os.PathLike[str]) -> Path:
        """Copies the collection as it is now to a new folder, while others read and write; `open` and `restore` take
        it. Returns where it is.

        Raises InvalidRequestError where something is there already, StorageError where the copy cannot be written.
        """
        target = Path(path).expanduser()
        self._store.snapshot(target)
        return target

    @classmethod
    def restore(cls, snapshot: str | os.PathLike[str], path_or_name: str | os.PathLike[str], **options: Any) -> Self:
        """Makes a new collection that is as the snapshot, and opens it with the options of `open`.

        Raises InvalidRequestError where there is no snapshot, or where there is something at the new place already.
        """
        store = Store(Path(snapshot).expanduser(), read_only=True)
        try:
            store.snapshot(place_of(path_or_name))
        finally:
            store.close()
        return cls.open(path_or_name, **options)

    def verify(self, *, progress: bool = True) -> list[Damage]:
        """Reads everything and compares it with what was written; returns what is damaged, and nothing if all is well.

        `rebuild` mends segments, indexes, passages and vectors; documents must be given again, with `update`.
        """
        with WorkProgress("Verifying", self.stats().num_chunks, enabled=progress) as bar:
            return self._store.verify(bar.advance)

    def rebuild(self, *, progress: bool = True) -> list[Damage]:
        """Makes all that is derived again: damaged passages and vectors from their documents, then all indexes.

        Returns the damage that stays, which only the owner of the documents can mend: `update` takes them again.
        """
        with WorkProgress("Rebuilding", self.stats().num_chunks, enabled=progress) as bar:
            stays = mend_documents(self._store, self._ingest, lambda _: None)
            self._store.rebuild(bar.advance)
        return stays

    def check_invariants(self) -> None:
        """Raises AssertionError where the indexes do not hold what the documents say; for tests."""
        with self._store.reading() as reading:
            reading.check_invariants()

    def close(self) -> None:
        """Waits for calls in other threads. A second time does nothing; any other call raises StorageError."""
        self._store.close()
        self._others.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, documents: Iterable[Document], *, replaces: bool, progress: bool) -> Written:
        checked = checked_documents(documents)
        with WorkProgress("Indexing", len(checked), enabled=progress) as bar:
            return self._ingest.write(checked, replaces=replaces, advance=bar.advance)

    def _source(self) -> Source | None:
        """Also what another process has settled meanwhile."""
        if self._vectors.source is None:
            with self._store.reading() as reading:
                self._vectors.remember(rows.settings(reading.connection))
        return self._vectors.source

    def _query_vector(self, request: Request, vector: npt.ArrayLike | None) -> Callable[[], Vectors] | None:
        """What makes it; None where none is needed."""
        if vector is not None and request.mode == "lexical":
            raise InvalidRequestError("vector is given, but the search is by words only; leave it out", param="vector")
        source = self._source()
        if request.mode == "lexical" or source is None:
            return None
        if source == "none":
            raise InvalidRequestError(
                f"mode is {request.mode!r}, but the collection has no vectors; allowed: lexical", param="mode"
            )
        if vector is None:
            self._vectors.check_can_embed()
            return partial(self._vectors.embed_query, request.query)
        given = self._vectors.query_vector(vector)
        return lambda: given
