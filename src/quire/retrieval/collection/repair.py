"""Makes again what is damaged of documents that are whole themselves: their chunks and vectors.

A document that is not what was added, and a vector that came with it, only its owner can give again; `update` will take
it, though it says what it should have said all along.
"""

from collections.abc import Callable, Iterator

from quire.retrieval.collection.documents import CheckedDocument
from quire.retrieval.collection.ingest import Ingest, came_with_vector
from quire.retrieval.store.state.reading import Reading
from quire.retrieval.store.store import Store
from quire.retrieval.store.upkeep.damage import Damage, damaged_documents


def mend_documents(store: Store, ingest: Ingest, advance: Callable[[int], None]) -> list[Damage]:
    """Returns the damage that stays."""
    with store.reading() as reading:
        damage = damaged_documents(reading.connection)
        mendable = list(_mendable(reading, {found.name for found in damage}))
    store.forget([found.name for found in damage])
    ingest.write(mendable, replaces=True, advance=advance)
    mended = {document.id for document in mendable}
    return [found for found in damage if found.name not in mended]


def _mendable(reading: Reading, document_ids: set[str]) -> Iterator[CheckedDocument]:
    for document_id in sorted(document_ids):
        stored = reading.document(document_id)
        if stored is not None and stored.is_whole and not came_with_vector(stored.origin):
            yield CheckedDocument(stored.id, stored.text, stored.kind, stored.metadata, None)
