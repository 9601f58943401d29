"""Which documents do I have, and which of their passages answer this?

`Collection` is the whole of it; the store below it knows nothing of queries, and nothing here of files.
"""

from quire.retrieval.collection.collection import Collection, CollectionStats
from quire.retrieval.collection.documents import Document
from quire.retrieval.collection.ingest import WholeDocuments, Written
from quire.retrieval.collection.places import collection_names, delete_collection, place_of
from quire.retrieval.collection.search import Hit, Part, Request, run
from quire.retrieval.store.upkeep.damage import Damage

__all__ = [
    "Collection",
    "CollectionStats",
    "Damage",
    "Document",
    "Hit",
    "Part",
    "Request",
    "WholeDocuments",
    "Written",
    "collection_names",
    "delete_collection",
    "place_of",
    "run",
]
