"""What do the tables of a collection hold, and how are they asked and changed?

One SQLite file: documents, chunks, vectors, the fields that filters look up, tombstones, and the manifest of segments.
Knows nothing of indexes.
"""
