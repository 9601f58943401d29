"""One process writes, others read beside it, and each reading is one state from its beginning to its end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quire.errors import CollectionLockedError, StorageError
from quire.retrieval.collection import Collection
from quire.retrieval.collection.search import Request
from quire.retrieval.store.files.segments import FoldPolicy
from quire.retrieval.store.state.view import View
from quire.retrieval.store.tables import database
from quire.retrieval.store.tables.filters import Among, Not
from quire.retrieval.store.tables.rows import Connection
from tests.patience import PATIENCE_S
from tests.retrieval.fakes import HashedWords

OPTIONS = {"embedder": HashedWords(dim=8), "policy": FoldPolicy(min_rows=4, fanout=2, words_share=0.2)}
NUM_CHANGES = 40

READER = """
import json, sys
from pathlib import Path
from tests.retrieval.collection.test_readers import OPTIONS, Collection, NUM_CHANGES
with Collection.open(Path(sys.argv[1]), **OPTIONS, read_only=True) as reader:
    ids = []
    while f"a{NUM_CHANGES}" not in ids:
        hits = [hit.document_id for hit in reader.search("pair", 100, mode="lexical")]
        near = [hit.document_id for hit in reader.search("pair", 100, mode="dense")]
        ids = reader.ids()
        reader.check_invariants()
        print(json.dumps([sorted(hits), sorted(near), sorted(ids)]), flush=True)
"""
WRITER = """
import sys, time
from pathlib import Path
from tests.retrieval.collection.test_readers import OPTIONS, Collection
with Collection.open(Path(sys.argv[1]), **OPTIONS) as writer:
    writer.add([{"id": "kept", "text": "is kept"}])
    print("kept", flush=True)
    time.sleep(600)
"""


@contextmanager
def process(script: str, place: Path) -> Iterator[subprocess.Popen]:
    paths = [str(Path(__file__).parents[3]), *sys.path]
    started = subprocess.Popen(
        [sys.executable, "-c", script, place],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def state_after(num_changes: int) -> list[str]:
    return sorted(f"{name}{i}" for i in range(max(0, num_changes - 4), num_changes + 1) for name in "ab")


def change(writer: Collection, number: int) -> None:
    """Two documents come in one change; then two go in another. One that folds, now and then."""
    writer.add([{"id": f"{name}{number}", "text": f"pair {name} {number}"} for name in "ab"])
    writer.delete([f"{name}{number - 5}" for name in "ab"])
    if number % 10 == 0:
        writer.compact(progress=False)


def test_other_processes_see_whole_changes_in_their_order(tmp_path) -> None:
    with Collection.open(tmp_path / "c", **OPTIONS) as writer:
        change(writer, 0)
        with process(READER, tmp_path / "c") as reader:
            assert reader.stdout is not None
            seen = [json.loads(reader.stdout.readline())]
            for number in range(1, NUM_CHANGES + 1):
                change(writer, number)
            seen += map(json.loads, reader.stdout)
            assert reader.wait(PATIENCE_S) == 0
    allowed = [state_after(i) for i in range(NUM_CHANGES + 1)]
    between = [sorted({*state_after(i), *state_after(i + 1)}) for i in range(NUM_CHANGES)]
    order = {tuple(state): 2 * i for i, state in enumerate(allowed)}
    order |= {tuple(state): 2 * i + 1 for i, state in enumerate(between)}
    places = [order[tuple(state)] for together in seen for state in together]
    assert places == sorted(places)
    assert places[-1] >= 2 * NUM_CHANGES - 1


def test_a_reading_does_not_change_under_who_reads(tmp_path, monkeypatch) -> None:
    """Also while the same process commits, folds and compacts, which then cannot wait for who reads to be done."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.0)
    with Collection.open(tmp_path / "c", **OPTIONS) as writer:
        change(writer, 0)
        with Collection.open(tmp_path / "c", **OPTIONS, read_only=True) as reader, reader._store.reading() as reading:
            for number in range(1, 21):
                change(writer, number)
            keys = [key for key, _ in reading.lexical("pair", 10)]
            assert sorted(chunk.document_id for chunk in reading.chunks(keys).values()) == ["a0", "b0"]
            assert reading.document("a20") is None
            reading.check_invariants()


def test_searches_in_threads_beside_the_writer(tmp_path) -> None:
    with Collection.open(tmp_path / "c", **OPTIONS) as collection:
        change(collection, 0)
        failures, is_done = [], threading.Event()

        def search() -> None:
            try:
                while not is_done.is_set():
                    hits = collection.search("pair a", 100)
                    assert sorted({hit.document_id[1:] for hit in hits}) == sorted(
                        {hit.document_id[1:] for hit in hits if hit.document_id[0] == "b"}
                    ), "half of a change"
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(1, NUM_CHANGES + 1):
            change(collection, number)
        is_done.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert sorted(collection.ids()) == state_after(NUM_CHANGES)


def test_searches_go_on_without_what_a_change_is_about_to_bring(tmp_path, monkeypatch) -> None:
    prepare, seen = View.prepare, []

    def prepare_and_search(view: View, connection: Connection) -> None:
        prepare(view, connection)
        collection.check_invariants()
        hits = [collection.search("pair", 100, mode=mode) for mode in ("dense", "lexical")]
        seen.extend(sorted(hit.document_id for hit in found) for found in hits)
        if len(seen) == 2:
            raise StorageError("no room for this change")

    with Collection.open(tmp_path / "c", **OPTIONS) as collection:
        change(collection, 0)
        monkeypatch.setattr(View, "prepare", prepare_and_search)
        with pytest.raises(StorageError, match="no room"):
            change(collection, 1)
        assert sorted(collection.ids()) == state_after(0)
        change(collection, 1)
        assert seen == [state_after(0)] * 4
        assert sorted(hit.document_id for hit in collection.search("pair", 100, mode="dense")) == state_after(1)
        collection.check_invariants()


def test_closing_waits_for_the_search_that_is_under_way(tmp_path) -> None:
    collection = Collection.open(tmp_path / "c", **OPTIONS)
    change(collection, 0)
    closing = threading.Thread(target=collection.close)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        if stage == "filter":  # a reading is open, and nothing was given to other threads yet
            closing.start()
            closing.join(0.05)
        yield

    everything = Not(Among("nothing", None))
    hits = collection.ask(Request("pair", 10, "hybrid", everything), timed=timed)
    assert sorted(hit.document_id for hit in hits) == state_after(0)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


def test_a_killed_writer_leaves_the_lock_and_the_readers_alone(tmp_path) -> None:
    with process(WRITER, tmp_path / "c") as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "kept\n"
        with pytest.raises(CollectionLockedError, match=f"open for writing by process {writer.pid};"):
            Collection.open(tmp_path / "c", **OPTIONS)
        with Collection.open(tmp_path / "c", **OPTIONS, read_only=True) as reader:
            assert reader.ids() == ["kept"]
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            assert reader.ids() == ["kept"]
            with Collection.open(tmp_path / "c", **OPTIONS) as next_writer:
                next_writer.add([{"id": "new", "text": "is new"}])
            assert reader.ids() == ["kept", "new"]
