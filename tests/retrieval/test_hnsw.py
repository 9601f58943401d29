"""HNSW against brute force in float64, and what must hold whatever the data: determinism, filters, deletion, files."""

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quire import _native
from quire.errors import ConfigError, CorruptIndexError, InvalidRequestError
from quire.retrieval.hnsw import HNSW
from tests.reference.nearest import distances, recall

DIM = 192
COUNT = 1_600  # more than the flat search takes


def clustered(count: int, dim: int = DIM, seed: int = 0) -> np.ndarray:
    """Points around 40 centres, as embeddings of text lie."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, dim))
    return (centres[rng.integers(0, 40, count)] + 0.7 * rng.normal(size=(count, dim))).astype(np.float32)


VECTORS, QUERIES = clustered(COUNT), clustered(100, seed=1)


def built(metric="cosine", dtype="f32", count=COUNT, **knobs) -> HNSW:
    index = HNSW(DIM, metric, dtype=dtype, ef_construction=100, seed=7, **knobs)
    index.add(VECTORS[:count], num_threads=1)
    return index


@pytest.fixture(scope="module")
def index() -> HNSW:
    """Not to be changed."""
    return built()


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_finds_what_brute_force_finds_with_exact_distances(metric, dtype) -> None:
    index = built(metric, dtype)
    index.check_invariants()
    ids, found = index.search(QUERIES, 10, ef_search=100)
    assert recall(ids, QUERIES, dict(enumerate(VECTORS)), metric, 10) > 0.98
    expected = np.take_along_axis(distances(QUERIES, VECTORS, metric), ids, axis=1)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
    assert (np.diff(found, axis=1) >= 0).all()


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("dim", [1, 15, 16, 33, 100])
def test_every_kernel_gives_the_same_distances(isa, dtype, metric, dim) -> None:
    before = _native.isa()
    if not _native.set_isa(isa):
        pytest.xfail(f"this machine has no {isa}")
    try:
        vectors, query = clustered(50, dim), clustered(1, dim, seed=5)[0]
        index = HNSW(dim, metric, dtype=dtype)
        index.add(vectors)
        ids, found = index.search(query, 50)
        np.testing.assert_allclose(found, distances([query], vectors, metric)[0][ids], rtol=1e-5, atol=1e-4)
    finally:
        _native.set_isa(before)


@pytest.mark.parametrize("isa", ["portable", "avx2"])
@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_every_kernel_walks_as_well(isa, dtype) -> None:
    before = _native.isa()
    try:
        _native.set_isa(isa)
        index = built("l2", dtype, count=1400)
        ids, _ = index.search(QUERIES, 10, ef_search=100)
        assert recall(ids, QUERIES, dict(enumerate(VECTORS[:1400])), "l2", 10) > 0.98
    finally:
        _native.set_isa(before)


def test_a_wider_beam_finds_more(index) -> None:
    truth = dict(enumerate(VECTORS))
    narrow, wide = (recall(index.search(QUERIES, 1, ef_search=ef)[0], QUERIES, truth, "cosine", 1) for ef in (1, 200))
    assert narrow < wide
    assert wide == 1.0


def test_the_same_calls_build_the_same_file_on_any_number_of_threads(tmp_path: Path) -> None:
    files = []
    for num_threads in (1, 2, 7):
        index = HNSW(DIM, dtype="int8", seed=3)
        index.add(VECTORS[:1000], num_threads=num_threads)
        index.delete(range(0, 1000, 7))
        index.add(VECTORS[1000:1400], num_threads=num_threads)
        index.compact(num_threads=num_threads)
        index.save(tmp_path / str(num_threads))
        files.append((tmp_path / str(num_threads)).read_bytes())
    assert files[0] == files[1] == files[2]


def test_another_seed_builds_another_graph(tmp_path: Path) -> None:
    for seed in (1, 2):
        index = HNSW(DIM, seed=seed)
        index.add(VECTORS[:200])
        index.save(tmp_path / str(seed))
    assert (tmp_path / "1").read_bytes() != (tmp_path / "2").read_bytes()


def test_one_query_and_a_batch_of_queries_answer_alike(index) -> None:
    ids, found = index.search(QUERIES, 5)
    for row, query in enumerate(QUERIES[:10]):
        one_ids, one_found = index.search(query, 5)
        assert one_ids.tolist() == ids[row].tolist()
        assert one_found.tolist() == found[row].tolist()


def test_batches_one_by_one_and_all_at_once_make_good_graphs() -> None:
    index = HNSW(DIM, ef_construction=100)
    for row in range(500):
        index.add(VECTORS[row], [row])
    index.add(VECTORS[500:], range(500, COUNT))
    index.check_invariants()
    ids, _ = index.search(QUERIES, 10, ef_search=100)
    assert recall(ids, QUERIES, dict(enumerate(VECTORS)), "cosine", 10) > 0.98


def test_equal_vectors_are_all_found() -> None:
    index = HNSW(DIM, "l2")
    index.add(np.vstack([np.repeat(VECTORS[:1], 50, axis=0), VECTORS[1:]]))
    ids, found = index.search(VECTORS[0], 50, ef_search=200)
    assert sorted(ids.tolist()) == list(range(50))
    assert (found == 0).all()


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_vectors_shorter_than_any_normal_number_are_found(dtype) -> None:
    """In int8 their scale would have no finite inverse."""
    index = HNSW(DIM, "l2", dtype=dtype)
    index.add(np.vstack([VECTORS[:3] * np.float32(1e-42), VECTORS[3:5]]))
    index.check_invariants()
    ids, found = index.search(np.zeros(DIM, np.float32), 5)
    assert set(ids[:3]) == {0, 1, 2}
    assert (found[:3] == 0).all()
    assert (found[3:] > 1).all()


def test_an_empty_index_answers_with_nothing() -> None:
    index = HNSW(DIM)
    index.check_invariants()
    assert index.search(QUERIES[0], 3)[0].shape == (0,)
    assert index.search(QUERIES, 3)[0].shape == (100, 0)
    assert index.search(QUERIES[:0], 3)[0].shape == (0, 0)
    assert (len(index), index.ids().tolist(), index.get(0)) == (0, [], None)


def test_fewer_vectors_than_k_are_all_returned() -> None:
    index = HNSW(DIM)
    index.add(VECTORS[:4], [10, 20, 30, 40])
    ids, found = index.search(QUERIES[:2], 9)
    assert ids.shape == found.shape == (2, 4)
    assert sorted(ids[0].tolist()) == [10, 20, 30, 40]


def test_k_beyond_the_beam_and_beyond_the_index(index) -> None:
    ids, _ = index.search(QUERIES[:2], COUNT + 5, ef_search=1)
    assert sorted(ids[0].tolist()) == sorted(ids[1].tolist()) == list(range(COUNT))


def test_get_gives_back_what_was_added() -> None:
    index = HNSW(DIM, "l2", dtype="int8")
    index.add(VECTORS[:2], [-5, 2**62])
    assert index.get(-5).tolist() == VECTORS[0].tolist()
    assert 2**62 in index
    assert index.get(3) is None


def test_ids_are_counted_on_where_none_are_given() -> None:
    index = HNSW(DIM)
    assert index.add(VECTORS[:2]).tolist() == [0, 1]
    index.add(VECTORS[2], [10])
    assert index.add(VECTORS[3:5]).tolist() == [11, 12]
    index.delete([12])
    assert index.add(VECTORS[5]).tolist() == [13]


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("dtype", ["f32", "int8"])
def test_a_filter_finds_the_nearest_of_what_passes(share, dtype) -> None:
    index = built(dtype=dtype)
    flags = np.random.default_rng(0).random(COUNT) < share
    allowed = {int(i): VECTORS[i] for i in np.flatnonzero(flags)}
    for passes in (flags, list(allowed), set(allowed), np.array(list(allowed), dtype=np.int32)):
        ids, _ = index.search(QUERIES, 10, ef_search=60, filter=passes)
        assert set(ids.ravel().tolist()) <= set(allowed)
        assert recall(ids, QUERIES, allowed, "cosine", 10) > (0.999 if share <= 0.01 else 0.96)


def test_filters_at_the_edges(index) -> None:
    assert index.search(QUERIES, 5, filter=[])[0].shape == (100, 0)
    assert index.search(QUERIES, 5, filter=np.zeros(COUNT, dtype=bool))[0].shape == (100, 0)
    assert index.search(QUERIES[0], 5, filter=[7, 7, 10**12, -1])[0].tolist() == [7]
    everything = np.ones(COUNT + 1000, dtype=bool)
    assert index.search(QUERIES, 5, filter=everything)[0].tolist() == index.search(QUERIES, 5)[0].tolist()


def test_a_filter_that_names_mostly_unknown_ids_still_finds_the_known_ones(index) -> None:
    flags = np.zeros(10 * COUNT, dtype=bool)
    flags[COUNT:] = True
    flags[[3, 4]] = True
    assert sorted(index.search(QUERIES[0], 5, filter=flags)[0].tolist()) == [3, 4]


def test_what_was_deleted_is_not_found_and_recall_stays() -> None:
    index = built()
    gone = np.random.default_rng(0).permutation(COUNT)[: COUNT // 5]
    index.delete(gone)
    left = {i: VECTORS[i] for i in range(COUNT) if i not in set(gone.tolist())}
    index.check_invariants()
    assert index.ids().tolist() == list(left)

    def check() -> None:
        ids, _ = index.search(QUERIES, 10, ef_search=100)
        assert set(ids.ravel().tolist()) <= set(left)
        assert recall(ids, QUERIES, left, "cosine", 10) > 0.98

    check()
    index.compact()
    index.check_invariants()
    assert index.stats().num_deleted == 0
    assert index.ids().tolist() == list(left)
    check()
    index.add(VECTORS[gone], gone)
    left = dict(enumerate(VECTORS))
    index.check_invariants()
    check()


def test_compaction_after_most_is_gone_rebuilds_from_what_is_left() -> None:
    index = built()
    index.delete(range(500, COUNT))
    index.compact()
    index.check_invariants()
    ids, _ = index.search(QUERIES, 10, filter=np.ones(500, dtype=bool), ef_search=100)
    assert recall(ids, QUERIES, dict(enumerate(VECTORS[:500])), "cosine", 10) > 0.98


def test_an_index_whose_rows_are_all_gone_starts_anew() -> None:
    index = built(count=1000)
    index.delete(index.ids())
    assert index.search(QUERIES, 3)[0].shape == (100, 0)
    index.add(VECTORS[:1400], range(5000, 6400))
    index.check_invariants()
    expected = {i + 5000: vector for i, vector in enumerate(VECTORS[:1400])}
    assert recall(index.search(QUERIES, 10, ef_search=200)[0], QUERIES, expected, "cosine", 10) > 0.98
    index.delete(index.ids())
    index.compact()
    index.check_invariants()
    assert len(index) == index.stats().num_deleted == 0


def test_an_update_moves_a_vector() -> None:
    index = built()
    moved = list(range(400))
    index.update(moved, -VECTORS[:400])
    index.check_invariants()
    now = dict(enumerate(np.vstack([-VECTORS[:400], VECTORS[400:]])))
    for _ in range(2):
        for queries in (QUERIES, -QUERIES):
            ids, _ = index.search(queries, 10, ef_search=150)
            assert recall(ids, queries, now, "cosine", 10) > 0.98
            assert all(len(set(row)) == len(row) for row in ids.tolist())
        index.compact()


@pytest.mark.parametrize("dtype", ["f32", "bf16", "int8"])
def test_a_saved_index_answers_as_before_and_can_grow(tmp_path: Path, dtype) -> None:
    index, path = built(dtype=dtype), tmp_path / "index"
    index.delete([1, 2])
    index.save(path)
    bytes_before = path.read_bytes()
    HNSW.verify(path)
    loaded = HNSW.load(path)
    loaded.check_invariants()
    assert (loaded.dim, loaded.metric, loaded.dtype, len(loaded)) == (DIM, "cosine", dtype, COUNT - 2)
    assert loaded.search(QUERIES, 10)[0].tolist() == index.search(QUERIES, 10)[0].tolist()
    for either in (index, loaded):
        either.add(QUERIES, range(10_000, 10_100))
        either.update([5], QUERIES[:1])
        either.compact()
        either.check_invariants()
    assert loaded.search(QUERIES, 10)[0].tolist() == index.search(QUERIES, 10)[0].tolist()
    assert path.read_bytes() == bytes_before
    loaded.save(path)
    assert HNSW.load(path).search(QUERIES, 10)[0].tolist() == index.search(QUERIES, 10)[0].tolist()
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_indexes_saved_to_one_path_at_once_leave_one_of_them_whole(tmp_path: Path) -> None:
    path, failures = tmp_path / "index", []

    def save(index: HNSW) -> None:
        try:
            for _ in range(20):
                index.save(path)
        except BaseException as error:
            failures.append(error)

    savers = [threading.Thread(target=save, args=(built(count=count),)) for count in (200, 300)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join()
    assert not failures
    assert len(HNSW.load(path)) in (200, 300)
    assert [entry.name for entry in tmp_path.iterdir()] == ["index"]


def test_loading_maps_the_file(tmp_path: Path) -> None:
    vectors = clustered(20_000, 64)
    index = HNSW(64, ef_construction=20, M=8)
    index.add(vectors)
    index.save(tmp_path / "index")
    stats = HNSW.load(tmp_path / "index").stats()
    assert stats.mapped_bytes >= 16_384 * 64 * 4
    assert stats.num_vectors == 20_000


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = built(count=1400, dtype="int8")
    index.save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    pages = [0, *rng.integers(1, len(whole) // 4096, 60).tolist()]
    for page in pages:
        place = page * 4096 + int(rng.integers(0, 40))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        if not _is_padding(whole, place):
            with pytest.raises(CorruptIndexError):
                HNSW.verify(path)
        with suppress(CorruptIndexError):
            HNSW.load(path).search(QUERIES, 10)


def _is_padding(whole: bytes, place: int) -> bool:
    """Between tables: zeros up to the end of the page."""
    page_end = (place // 4096 + 1) * 4096
    return not any(whole[place:page_end])


@pytest.mark.parametrize("size", [0, 10, 4095, 4096, 100_000])
def test_a_file_cut_short_is_refused(tmp_path: Path, size) -> None:
    path = tmp_path / "index"
    built(count=300).save(path)
    path.write_bytes(path.read_bytes()[:size])
    for read in (HNSW.load, HNSW.verify):
        with pytest.raises(CorruptIndexError, match="index"):
            read(path)


def test_files_that_are_not_there_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        HNSW.load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        built(count=10).save(tmp_path / "no" / "folder")
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(CorruptIndexError, match="not an HNSW index"):
        HNSW.load(tmp_path / "text")


def test_readers_run_while_a_writer_changes_everything() -> None:
    index, failures, is_done = built(count=1100), [], threading.Event()

    def read() -> None:
        while not is_done.is_set():
            ids, found = index.search(QUERIES[:20], 10)
            if ids.shape != (20, 10) or (np.diff(found) < 0).any() or any(len(set(row)) < 10 for row in ids.tolist()):
                failures.append(ids)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(5):
        index.add(VECTORS[1100:], range(10_000, 10_500), num_threads=2)
        index.update(range(50), VECTORS[1500:1550])
        index.delete(range(10_000, 10_500))
        assert index.search(QUERIES, 10)[0].max() < 1100
        index.compact()
    is_done.set()
    for reader in readers:
        reader.join()
    index.check_invariants()
    assert failures == []


def test_a_deletion_is_seen_whole_or_not_at_all() -> None:
    index, seen, is_done = HNSW(DIM), [], threading.Event()
    index.add(VECTORS[:100])

    def read() -> None:
        while not is_done.is_set():
            seen.append(index.search(QUERIES[0], 100)[0].shape[0])

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(50):
        index.delete(range(50))
        index.add(VECTORS[:50], range(50))
        index.compact()
    is_done.set()
    reader.join()
    assert 50 <= min(seen) <= max(seen) <= 100


class Machine(RuleBasedStateMachine):
    """Any sequence of changes against a dictionary. So few vectors are searched flat, so answers are exact."""

    @initialize(metric=st.sampled_from(["cosine", "ip", "l2"]), dtype=st.sampled_from(["f32", "bf16", "int8"]))
    def start(self, metric, dtype) -> None:
        self.index, self.vectors, self.metric = HNSW(8, metric, M=2, ef_construction=8, dtype=dtype), {}, metric
        self.rng = np.random.default_rng(0)

    def draw(self, count: int) -> np.ndarray:
        return self.rng.normal(size=(count, 8)).astype(np.float32)

    @rule(keys=st.sets(st.integers(0, 60), max_size=20))
    def add(self, keys) -> None:
        vectors = self.draw(len(keys))
        if keys & self.vectors.keys():
            with pytest.raises(InvalidRequestError, match="already"):
                self.index.add(vectors, list(keys))
        else:
            self.index.add(vectors, list(keys))
            self.vectors.update(zip(keys, vectors, strict=True))

    @rule(keys=st.sets(st.integers(0, 60), max_size=10))
    def update(self, keys) -> None:
        known = [key for key in keys if key in self.vectors]
        vectors = self.draw(len(known))
        self.index.update(known, vectors)
        self.vectors.update(zip(known, vectors, strict=True))

    @rule(keys=st.sets(st.integers(0, 60), max_size=30))
    def delete(self, keys) -> None:
        known = [key for key in keys if key in self.vectors]
        self.index.delete(known)
        for key in known:
            del self.vectors[key]

    @rule()
    def compact(self) -> None:
        self.index.compact()

    @rule(k=st.integers(1, 70), allowed=st.one_of(st.none(), st.sets(st.integers(0, 60), max_size=30)))
    def search(self, k, allowed) -> None:
        query = self.draw(1)
        keys = [key for key in self.vectors if allowed is None or key in allowed]
        ids, found = self.index.search(query, k, filter=allowed)
        assert ids.shape == (1, min(k, len(keys)))
        if keys:
            every = distances(query, np.array([self.vectors[key] for key in keys]), self.metric)[0]
            np.testing.assert_allclose(found[0], np.sort(every)[:k], rtol=1e-4, atol=1e-4)

    @invariant()
    def holds(self) -> None:
        self.index.check_invariants()
        assert sorted(self.index.ids().tolist()) == sorted(self.vectors)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.add(VECTORS[:2], [1, 1]), "id 1 is given twice"),
        (lambda i: i.add(VECTORS[:2], [3, 0]), "id 0 is in this index already"),
        (lambda i: i.add(VECTORS[:2], [3]), "2 vectors and 1 ids"),
        (lambda i: i.add(VECTORS[:1], [0.5]), "ids is"),
        (lambda i: i.add(VECTORS[:1], [2**63]), "ids holds 9223372036854775808"),
        (lambda i: i.add(np.zeros((1, DIM)), [3]), "vector 0 is zero"),
        (lambda i: i.add(np.full((1, DIM), np.nan), [3]), "vector 0 holds NaN"),
        (lambda i: i.add([[*VECTORS[0][1:], np.inf]], [3]), "vector 0 holds NaN or infinity"),
        (lambda i: i.add(np.full((1, DIM), 1e30), [3]), "vector 0 is longer"),
        (lambda i: i.add(np.ones((1, DIM + 1)), [3]), "193 columns; this index is of 192"),
        (lambda i: i.add(np.ones((1, 1, DIM)), [3]), "vectors has shape"),
        (lambda i: i.add("text", [3]), "vectors cannot be made"),
        (lambda i: i.search(np.zeros(DIM)), "query 0 is zero"),
        (lambda i: i.search(np.ones(3)), "queries has 3 columns"),
        (lambda i: i.search(QUERIES, 0), "k is 0"),
        (lambda i: i.search(QUERIES, ef_search=0), "ef_search is 0"),
        (lambda i: i.search(QUERIES, filter=[0.5]), "ids is"),
        (lambda i: i.search(QUERIES, num_threads=0), "num_threads is 0"),
        (lambda i: i.delete([5]), "id 5 is not in this index"),
        (lambda i: i.update([5], VECTORS[:1]), "id 5 is not in this index"),
    ],
)
def test_wrong_input_is_named_and_changes_nothing(call, message) -> None:
    index = HNSW(DIM)
    index.add(VECTORS[:1], [0])
    with pytest.raises((InvalidRequestError, ConfigError)) as caught:
        call(index)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert index.ids().tolist() == [0]
    index.check_invariants()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"metric": "cosin"}, "Did you mean 'cosine'?"),
        ({"dtype": "f16"}, "allowed: f32, bf16, int8"),
        ({"M": 1}, "M is 1; allowed: a whole number from 2 to 512"),
        ({"ef_construction": 2.5}, "ef_construction is 2.5"),
    ],
)
def test_wrong_knobs_are_named(knobs, message) -> None:
    with pytest.raises(ConfigError) as caught:
        HNSW(**{"dim": 4, **knobs})
    assert message in str(caught.value)
