"""Segment files: their names, and when several become one.

A segment is written once, synced, and never changed; the manifest in the database names those that count. What is not
named is a leftover, of a fold that did not finish or of one that replaced it, and may be removed at any time. Readers
that have a removed file mapped keep it until they let go of it.

Vectors lie in segments of falling size, each at least `fanout` times the next, so a search looks into few of them and a
row is written again only when the rows after it have become many:

    [──────────── 64k ────────────][── 8k ──][1k] rows since, in memory, from the database

Words lie in one segment, since BM25 counts over all of them; it is written again when the rows since are many.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from quire.retrieval.store.tables.rows import Segment

DENSE, WORDS = KINDS = ("dense", "words")
FOLDER = "segments"
_OURS = re.compile(rf"({DENSE}|{WORDS})-[0-9a-f]{{16}}(\.new\.\d+\.\d+)?")


@dataclass(frozen=True, slots=True)
class FoldPolicy:
    """When rows that are only in the database are written to a segment. The defaults suit all but tests."""

    min_rows: int = 1024
    """So many are indexed anew each time a collection is opened, in about a tenth of a second."""
    fanout: int = 8
    """Smaller: fewer segments to search, more writing."""
    words_share: float = 1 / 32
    """Of all rows; so many may be missing from the segment of words."""
    max_dead_share: float = 0.25
    """Of a segment's rows; with more of them deleted it is written again without them."""

    def dense_from(self, sizes: Sequence[int], dead: Sequence[int], num_new: int) -> int | None:
        """Segments from this one on become one, with the new rows; None: nothing yet.

        sizes, dead   rows of each segment, and how many of them are deleted.
        """
        first, total = len(sizes), num_new
        while num_new >= self.min_rows and first > 0 and sizes[first - 1] < self.fanout * total:
            first -= 1
            total += sizes[first]
        wasteful = [i for i, size in enumerate(sizes) if dead[i] > self.max_dead_share * size]
        first = min([first, *wasteful])
        return first if num_new >= self.min_rows or wasteful else None

    def should_write_words(self, num_rows: int, num_new: int) -> bool:
        return num_new >= max(self.min_rows, self.words_share * num_rows)


def new_name(kind: str) -> str:
    return f"{kind}-{uuid4().hex[:16]}"


def path_of(folder: Path, segment: Segment | str) -> Path:
    return folder / FOLDER / (segment if isinstance(segment, str) else segment.name)


def leftovers(folder: Path, named: set[str]) -> list[Path]:
    """Files that are ours by their name, and that the manifest does not name."""
    return [path for path in (folder / FOLDER).iterdir() if _OURS.fullmatch(path.name) and path.name not in named]
