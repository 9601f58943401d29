"""A collection of notes: added, searched by words and by meaning, changed, copied.

    python examples/notes_collection.py [QUESTION] [--words-only]

Vectors are made by all-MiniLM-L6-v2 where it is on this machine; --words-only needs no model. The collection lies in a
folder of its own that goes when the example ends.
"""

import argparse
import tempfile
from pathlib import Path

from quire import Collection

NOTES = [
    {"id": "brill", "text": "The lighthouse at Brill was built in 1843.", "metadata": {"kind": "place", "year": 1843}},
    {"id": "moor", "text": "Ada Moor drew the first map of the coast.", "metadata": {"kind": "person", "year": 1851}},
    {"id": "storm", "text": "In the storm of 1901 the old lamp went out.", "metadata": {"kind": "event", "year": 1901}},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", nargs="?", default="who made the map?")
    parser.add_argument("--words-only", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "notes"
        options = {"embedder": None} if args.words_only else {}
        with Collection.open(place, **options) as notes:
            print(notes.add(NOTES, progress=False))
            show(f"{args.question!r}", notes.search(args.question))
            show("since 1850", notes.search(args.question, filter={"year": {"$gte": 1850}}))

            notes.update([{"id": "storm", "text": "In 1901 a storm put out the lamp at Brill."}], progress=False)
            notes.delete(["moor"])
            show("after the change", notes.search("the lamp at Brill"))
            notes.snapshot(Path(folder) / "copy")
        with Collection.open(Path(folder) / "copy", read_only=True, embedder=None) as copy:
            print("the copy has", ", ".join(copy.ids()))


def show(what: str, hits: list) -> None:
    print(f"{what}: " + ("; ".join(f"{hit.document_id} ({', '.join(hit.parts)})" for hit in hits) or "nothing"))


if __name__ == "__main__":
    main()
