"""Whatever bit flips on the disk, it is said which file or document it is, and what can be made again is made again."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from quire.errors import CollectionLockedError, CorruptIndexError, InvalidRequestError
from quire.retrieval.collection import Collection, delete_collection
from quire.retrieval.store.files.segments import FoldPolicy
from tests.retrieval.fakes import HashedWords, Lines

TEXTS = {str(i): f"line {i} begins\nand {i * i} ends it" for i in range(6)}
OPTIONS = {"embedder": HashedWords(dim=8), "chunker": Lines(), "policy": FoldPolicy(min_rows=4, fanout=2)}


@pytest.fixture
def place(tmp_path) -> Path:
    with Collection.open(tmp_path / "notes", **OPTIONS) as collection:
        collection.add([{"id": name, "text": text, "metadata": {"n": int(name)}} for name, text in TEXTS.items()])
        assert collection.stats().num_segments == 2
        assert collection.verify() == []
    return tmp_path / "notes"


def is_as_before(collection: Collection) -> bool:
    found = {name: collection.search(text, 1, mode="dense", filter={"n": int(name)}) for name, text in TEXTS.items()}
    assert all(hits[0].document_id == name for name, hits in found.items())
    assert [collection.search(f"{i * i}", 1, mode="lexical")[0].document_id for i in range(2, 6)] == list("2345")
    collection.check_invariants()
    return collection.verify() == []


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def change(place: Path, statement: str, *values: object) -> None:
    """Behind the collection's back."""
    with sqlite3.connect(place / "quire.db") as connection:
        connection.execute(statement, values)
    connection.close()


def test_a_database_that_is_empty_is_damaged_and_not_new(place) -> None:
    (place / "quire.db").write_bytes(b"")
    for is_to_read in (True, False):
        with pytest.raises(CorruptIndexError, match=r"quire\.db is damaged \(it is empty\); restore a snapshot"):
            Collection.open(place, **OPTIONS, read_only=is_to_read)


def test_changes_are_made_while_all_is_verified(place) -> None:
    many = [{"id": "long", "text": "\n".join(f"line {i}" for i in range(600))}]
    with Collection.open(place, **OPTIONS) as collection:
        collection.add(many)
        changes = iter([{"id": "6", "text": "another"}])
        found = collection._store.verify(lambda _: collection.add([next(changes)]) and None)
        assert (found, next(changes, None)) == ([], None)
        assert is_as_before(collection)


@pytest.mark.parametrize("kind", ["dense", "words"])
def test_any_flipped_bit_of_a_segment_is_found_and_mended(place, kind) -> None:
    """Bits all over the file: of what is checked when it is loaded, of what only `verify` reads, and of the gaps."""
    (path,) = (place / "segments").glob(f"{kind}-*")
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for bit in sorted({0, 8 * len(whole) - 1, *rng.integers(8 * len(whole), size=40).tolist()}):
        path.write_bytes(whole)
        flip(path, bit)
        with Collection.open(place, **OPTIONS, read_only=True) as collection:
            found = collection.verify()
            assert [(damage.what, damage.name) for damage in found] == [("segment", path.name)], bit
    with Collection.open(place, **OPTIONS) as collection:
        assert collection.rebuild() == []
        assert is_as_before(collection)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["dense", "words"])
@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b""), lambda p: flip(p, 4096 * 8 + 9)])
def test_a_segment_that_cannot_be_loaded_is_done_without_and_made_again(place, kind, harm) -> None:
    (path,) = (place / "segments").glob(f"{kind}-*")
    harm(path)
    with Collection.open(place, **OPTIONS, read_only=True) as reader:
        assert not is_as_before(reader)
    with Collection.open(place, **OPTIONS) as collection:
        assert is_as_before(collection)
    with Collection.open(place, **OPTIONS) as collection:
        assert is_as_before(collection)


def test_damage_is_not_written_into_the_next_segment(place) -> None:
    """A vector with a flipped bit in a segment that is loaded, but not read in full, until others are added to it."""
    (path,) = (place / "segments").glob("dense-*")
    flip(path, 8 * path.stat().st_size - 8 * 4096 + 30)
    with Collection.open(place, **OPTIONS) as collection:
        assert [damage.what for damage in collection.verify()] == ["segment"]
        collection.add([{"id": f"more {i}", "text": f"more of {i}", "metadata": {"n": -1}} for i in range(40)])
        assert is_as_before(collection)


def test_passages_vectors_and_lookups_are_made_again_from_the_documents(place) -> None:
    change(place, "UPDATE vectors SET vector = zeroblob(32) WHERE chunk = 3")
    change(place, "DELETE FROM vectors WHERE chunk = 6")
    change(place, "UPDATE chunks SET text = 'something else' WHERE key = 9")
    change(place, "DELETE FROM fields WHERE value = 1")
    with Collection.open(place, **OPTIONS) as collection:
        found = [(damage.what, damage.name) for damage in collection.verify()]
        assert found == [("chunk", "4"), ("vector", "1"), ("vector", "2"), ("fields", "")]
        assert collection.rebuild() == []
        assert is_as_before(collection)


def test_what_only_its_owner_can_give_again_is_named_until_he_does(place) -> None:
    change(place, "UPDATE documents SET text = 'forged' WHERE id = '3'")
    with Collection.open(place, **OPTIONS) as collection:
        for damage in (collection.verify(), collection.rebuild(), collection.verify()):
            assert [(found.what, found.name) for found in damage] == [("document", "3")]
        assert "what was added" in str(damage[0])
        collection.update([{"id": "3", "text": TEXTS["3"], "metadata": {"n": 3}}])
        assert is_as_before(collection)


def test_a_vector_of_ones_own_is_asked_for_again(tmp_path) -> None:
    documents = [{"id": name, "text": name, "vector": axis} for name, axis in zip("xyz", np.eye(3), strict=True)]
    with Collection.open(tmp_path / "own", embedder=None) as collection:
        collection.add(documents)
    change(tmp_path / "own", "UPDATE vectors SET vector = zeroblob(12) WHERE chunk = 2")
    with Collection.open(tmp_path / "own", embedder=None) as collection:
        assert [(damage.what, damage.name) for damage in collection.rebuild()] == [("vector", "y")]
        assert {hit.document_id for hit in collection.search("", vector=[1, 1, 1])} == {"x", "z"}
        assert collection.update(documents).num_updated == 1
        assert collection.verify() == []
        assert collection.search("", 1, vector=[0, 1, 0])[0].document_id == "y"


@pytest.mark.parametrize("metadata", ['{"n: 3}', "3", None, b"\xff\xfe"])
def test_metadata_that_cannot_be_read_any_more_is_named_and_taken_again(place, metadata) -> None:
    if metadata is None:
        change(place, "UPDATE documents SET metadata = zeroblob(3) WHERE id = '3'")
    else:
        change(place, "UPDATE documents SET metadata = CAST(? AS TEXT) WHERE id = '3'", metadata)
    with Collection.open(place, **OPTIONS) as collection:
        with pytest.raises(CorruptIndexError, match=r"update it|restore a snapshot"):
            collection.get("3")
        assert collection.verify()
        if isinstance(metadata, bytes):  # SQLite itself refuses the row
            return
        assert ("document", "3") in [(found.what, found.name) for found in collection.rebuild()]
        assert collection.get("4") is not None
        collection.update([{"id": "3", "text": TEXTS["3"], "metadata": {"n": 3}}])
        assert is_as_before(collection)


def test_a_passage_that_only_an_index_has_is_an_error_that_says_so(place) -> None:
    change(place, "DELETE FROM chunks WHERE key = (SELECT MIN(key) FROM chunks)")
    with Collection.open(place, **OPTIONS) as collection:
        with pytest.raises(CorruptIndexError, match="rebuild"):
            collection.search("begins", 20)
        collection.rebuild()
        assert collection.search("begins", 20)


def test_a_database_that_is_none_any_more(place) -> None:
    content = (place / "quire.db").read_bytes()
    (place / "quire.db").write_bytes(content[:100] + b"\xff" * 8092 + content[8192:])
    with pytest.raises(CorruptIndexError, match="restore a snapshot"):
        Collection.open(place, **OPTIONS)
    (place / "quire.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(CorruptIndexError, match="restore a snapshot"):
        Collection.open(place, **OPTIONS)


def test_what_a_crash_leaves_behind_is_harmless_and_goes(place) -> None:
    segments = place / "segments"
    named = set(segments.iterdir())
    ours = [segments / "dense-0123456789abcdef", segments / "words-0123456789abcdef.new.77.0"]
    others = [segments / "notes.txt", place / "letter"]
    for path in (*ours, *others):
        path.write_bytes(b"half of a segm")
    with Collection.open(place, **OPTIONS, read_only=True) as reader:
        assert is_as_before(reader)
    with Collection.open(place, **OPTIONS) as collection:
        assert is_as_before(collection)
    assert set(segments.iterdir()) == {*named, others[0]}
    assert others[1].exists()


def test_a_snapshot_stays_as_it_is_and_comes_back(place, tmp_path) -> None:
    copy = tmp_path / "copies" / "monday"
    with Collection.open(place, **OPTIONS) as collection:
        (tmp_path / "copies").mkdir()
        (tmp_path / "copies" / ".monday.unfinished").mkdir()
        (tmp_path / "copies" / ".monday.unfinished" / "quire.db").write_bytes(b"half")
        assert collection.snapshot(copy) == copy
        collection.delete(TEXTS)
        collection.compact()
        with pytest.raises(InvalidRequestError, match="is there already"):
            collection.snapshot(copy)
    assert [path.name for path in copy.parent.iterdir()] == ["monday"]
    with Collection.open(copy, **OPTIONS, read_only=True) as reader:
        assert is_as_before(reader)
    with Collection.restore(copy, tmp_path / "again", **OPTIONS) as collection:
        assert is_as_before(collection)
        collection.delete(["1"])
    with Collection.open(copy, **OPTIONS) as collection:
        assert is_as_before(collection)
    with pytest.raises(InvalidRequestError, match="is there already"):
        Collection.restore(copy, place)
    with pytest.raises(InvalidRequestError, match="no collection at"):
        Collection.restore(tmp_path / "nowhere", tmp_path / "new")


def test_a_collection_is_deleted_when_nobody_writes_to_it(place) -> None:
    with Collection.open(place, **OPTIONS), pytest.raises(CollectionLockedError):
        delete_collection(place)
    (place.parent / f".{place.name}.removed").mkdir()  # a removal that a crash has cut short
    (place.parent / f".{place.name}.removed" / "quire.db").write_bytes(b"")
    with Collection.open(place, **OPTIONS, read_only=True) as reader:
        delete_collection(place)
        assert reader.search("line 2 begins", 1)[0].document_id == "2"
    assert list(place.parent.iterdir()) == []
    with pytest.raises(InvalidRequestError, match="no collection at"):
        delete_collection(place)
