"""Passages as a search would find them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Chunk:
    document_id: str
    chunk_id: str
    text: str
    score: float = 1.0


ORNE = Chunk("rivers.md", "1", "The Orne was mapped in 1843 by Ada Moor.")
VIRE = Chunk("rivers.md", "2", "The Vire is 128 km long.")
CAEN = Chunk("towns.md", "1", "Caen lies on the Orne.")
