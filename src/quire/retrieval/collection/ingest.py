"""From documents to changes of the store: cut into chunks, keep those that say what they said, embed the others.

A document is written whole or not at all. Documents that are as they were cost a look at their digest. Batches are as
large as is good for an embedder, and each is on the disk before the next one is begun. Threads take turns, batch by
batch.
"""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

from quire.errors import InvalidRequestError, shown
from quire.retrieval.collection.documents import CheckedDocument
from quire.retrieval.collection.vectors import VectorSource
from quire.retrieval.embedding import Chunk, Chunker, Vectors
from quire.retrieval.store.store import Store
from quire.retrieval.store.tables.change import FORGOTTEN, Change, DocumentChange
from quire.retrieval.store.tables.rows import chunks_of, indexed_text, known

BATCH_CHUNKS = 256
"""Some seconds of embedding; what a crash can cost."""


class WholeDocuments:
    """The chunker that does not cut."""

    fingerprint = "whole"

    def split(self, document_id: str, text: str, kind: str = "text") -> list[Chunk]:  # noqa: ARG002
        if not text or text.isspace():
            return []
        says = hashlib.sha256(text.encode()).hexdigest()[:16]
        return [Chunk(f"{document_id}#{says}", text, 0, len(text))]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the documents."""

    num_added: int = 0
    num_updated: int = 0
    num_unchanged: int = 0
    num_chunks: int = 0
    """Chunks that were new, and so were indexed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A document that will be written, cut, with the chunks it keeps by key."""

    document: CheckedDocument
    origin: str
    is_new: bool
    kept: tuple[tuple[int, Chunk], ...]
    added: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Ingest:
    store: Store
    chunker: Chunker
    vectors: VectorSource
    turn: Lock = field(default_factory=Lock)

    def write(self, documents: Sequence[CheckedDocument], *, replaces: bool, advance: Callable[[int], None]) -> Written:
        """`advance` is told how many documents were done, after each batch."""
        changed = deque(self._changed(documents, replaces=replaces))
        settled = self.vectors.settle(list(changed)) if changed else {}
        advance(len(documents) - len(changed))
        num_added = num_updated = num_chunks = 0
        while changed:
            with self.turn:
                num_before = len(changed)
                plans = self._next_batch(changed, replaces=replaces)
                self._commit(plans, settled)
            num_new = sum(plan.is_new for plan in plans)
            num_added += num_new
            num_updated += len(plans) - num_new
            num_chunks += sum(len(plan.added) for plan in plans)
            advance(num_before - len(changed))
        return Written(num_added, num_updated, len(documents) - num_added - num_updated, num_chunks)

    def _changed(self, documents: Sequence[CheckedDocument], *, replaces: bool) -> list[CheckedDocument]:
        """Raises InvalidRequestError for one that is there with other content, unless it may be replaced."""
        with self.store.reading() as reading:
            there = known(reading.connection, [document.id for document in documents])
        return [document for document in documents if self._is_changed(document, there.get(document.id), replaces)]

    def _is_changed(self, document: CheckedDocument, stored: tuple[int, bytes, str] | None, replaces: bool) -> bool:
        if stored is None:
            return True
        _, digest, origin = stored
        now = self._origin(document)
        if document.digest == digest and (origin == now or (not replaces and _same_vectors(origin, now))):
            return False  # add leaves a document as it is, also one that another chunker has cut
        if not replaces:
            raise InvalidRequestError(
                f"document {shown(document.id)} is there already, with other content; use update to replace it",
                param="id",
            )
        return True

    def _next_batch(self, waiting: deque[CheckedDocument], *, replaces: bool) -> list[Plan]:
        """Takes from those that wait as many as make a batch, and leaves out what another thread has done meanwhile."""
        plans: list[Plan] = []
        num_chunks = 0
        while waiting and num_chunks < BATCH_CHUNKS and len(plans) < BATCH_CHUNKS:
            plan = self._plan(waiting.popleft(), replaces=replaces)
            if plan is not None:
                plans.append(plan)
                num_chunks += len(plan.added)
        return plans

    def _plan(self, document: CheckedDocument, *, replaces: bool) -> Plan | None:
        origin = self._origin(document)
        with self.store.reading() as reading:
            stored = known(reading.connection, [document.id]).get(document.id)
            old = chunks_of(reading.connection, stored[0]) if stored else []
        if not self._is_changed(document, stored, replaces):
            return None
        is_reusable = stored is not None and _same_vectors(stored[2], origin)
        keys = {_said(chunk): key for key, chunk in old} if is_reusable else {}
        chunks = self._chunks(document)
        kept = {chunk.id: keys[_said(chunk)] for chunk in chunks if _said(chunk) in keys}
        return Plan(
            document,
            origin,
            stored is None,
            tuple((kept[chunk.id], chunk) for chunk in chunks if chunk.id in kept),
            tuple(chunk for chunk in chunks if chunk.id not in kept),
        )

    def _commit(self, plans: list[Plan], settled: dict[str, object]) -> None:
        if not plans:
            return
        if self.vectors.source is not None:
            settled = self.vectors.settle([plan.document for plan in plans])
        vectors = self._embedded(plans) if (settled or self.vectors.settings)["source"] == "embedder" else None
        changes = [_change(plan, vectors) for plan in plans]
        self.store.commit(Change(changes, settings=settled))
        self.vectors.remember(settled)

    def _embedded(self, plans: list[Plan]) -> Iterator[Vectors]:
        """One vector after the other, of all new chunks whose document has none of its own."""
        texts = [
            indexed_text(chunk.heading, chunk.text)
            for plan in plans
            if plan.document.vector is None
            for chunk in plan.added
        ]
        for begin in range(0, len(texts), BATCH_CHUNKS):
            yield from self.vectors.embed_documents(texts[begin : begin + BATCH_CHUNKS])

    def _chunks(self, document: CheckedDocument) -> list[Chunk]:
        if document.vector is not None:
            return [Chunk(f"{document.id}#{self._origin(document)[-16:]}", document.text, 0, len(document.text))]
        return self.chunker.split(document.id, document.text, document.kind)

    def _origin(self, document: CheckedDocument) -> str:
        if document.vector is None:
            return f"chunker {self.chunker.fingerprint}"
        return f"vector {hashlib.sha256(document.vector.astype('<f4').tobytes()).hexdigest()}"


def came_with_vector(origin: str) -> bool:
    """Whether a document of this origin has a vector of its owner's, also where it is not trusted any more."""
    return origin.removeprefix(FORGOTTEN).startswith("vector ")


def _same_vectors(one: str, other: str) -> bool:
    """Whether equal chunks of these origins have equal vectors."""
    return one == other or (one.startswith("chunker ") and other.startswith("chunker "))


def _said(chunk: Chunk) -> tuple[str, str, str | None]:
    return chunk.id, chunk.text, chunk.heading


def _change(plan: Plan, embedded: Iterator[Vectors] | None) -> DocumentChange:
    document = plan.document
    own = itertools.repeat(document.vector) if document.vector is not None else embedded
    return DocumentChange(
        document.id,
        document.text,
        document.kind,
        document.metadata,
        document.digest,
        plan.origin,
        plan.kept,
        plan.added,
        None if own is None else tuple(itertools.islice(own, len(plan.added))),
    )
