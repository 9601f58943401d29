"""What hnswlib promises its users, kept by ours: each test asks what one of its own Python tests asks.

Rows of 64 numbers, so that 5,000 of them are walked and not compared one by one.
"""

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.reference.nearest import distances
from tests.retrieval.hnswlib_facade import Index

DIM, COUNT = 64, 5_000
DATA = np.random.default_rng(0).random((COUNT, DIM), dtype=np.float32)
LABELS = np.arange(COUNT)


def started(space: str = "l2", max_elements: int = COUNT, **knobs) -> Index:
    index = Index(space, DIM)
    index.init_index(max_elements, ef_construction=60, **knobs)
    index.set_ef(60)
    index.set_num_threads(2)
    return index


def finds_itself(index: Index, rows: np.ndarray, labels: np.ndarray) -> float:
    return float((index.knn_query(rows)[0].ravel() == labels).mean())


def test_half_saved_loaded_and_the_other_half_added(tmp_path: Path) -> None:
    index = started()
    index.add_items(DATA[: COUNT // 2])
    assert finds_itself(index, DATA[: COUNT // 2], LABELS[: COUNT // 2]) > 0.999
    index.save_index(tmp_path / "half")
    index = Index("l2", DIM)
    index.load_index(tmp_path / "half", COUNT)
    index.set_ef(60)
    index.add_items(DATA[COUNT // 2 :])
    assert finds_itself(index, DATA, LABELS) > 0.999
    assert sorted(index.get_ids_list()) == LABELS.tolist()


def test_marked_labels_are_not_found_also_after_loading_and_can_be_unmarked(tmp_path: Path) -> None:
    index = started()
    index.add_items(DATA)
    marked = range(0, COUNT, 10)
    for label in marked:
        index.mark_deleted(label)
    index.save_index(tmp_path / "marked")
    loaded = Index("l2", DIM)
    loaded.load_index(tmp_path / "marked")
    for either in (index, loaded):
        assert (either.knn_query(DATA[::10])[0] % 10 > 0).all()
        assert finds_itself(either, DATA[1::2], LABELS[1::2]) > 0.999
    with pytest.raises(RuntimeError, match="not found"):
        index.mark_deleted(0)
    for label in marked:
        index.unmark_deleted(label)
    assert finds_itself(index, DATA, LABELS) > 0.999


def test_a_filter_leaves_even_labels() -> None:
    index = started()
    index.add_items(DATA)
    found, _ = index.knn_query(DATA[:300], filter=lambda label: label % 2 == 0)
    assert (found % 2 == 0).all()
    assert (found.ravel() == LABELS[:300]).mean() == 0.5


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_items_by_label(space) -> None:
    index = started(space)
    with pytest.raises(RuntimeError):
        index.get_items(LABELS[:5])
    index.add_items(DATA[:500], LABELS[:500])
    with pytest.raises(ValueError, match="one number"):
        index.get_items(7)
    lengths = np.linalg.norm(DATA[:500], axis=1, keepdims=True) if space == "cosine" else 1
    np.testing.assert_allclose(index.get_items(LABELS[:500]), DATA[:500] / lengths, atol=1e-6)


def test_what_an_index_says_of_itself() -> None:
    index = started()
    index.add_items(DATA[:700])
    index.mark_deleted(3)
    facts = (index.space, index.dim, index.M, index.ef_construction, index.max_elements, index.element_count)
    assert facts == ("l2", DIM, 16, 60, COUNT, 700)


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_a_copy_answers_alike_and_both_as_brute_force(space, tmp_path: Path) -> None:
    index, queries = started(space), np.random.default_rng(1).random((50, DIM), dtype=np.float32)
    index.set_ef(400)
    index.add_items(DATA)
    index.save_index(tmp_path / "copy")
    copy = Index(space, DIM)
    copy.load_index(tmp_path / "copy")
    copy.set_ef(400)
    every = distances(queries, DATA, space)
    farthest = np.sort(every, axis=1)[:, 24:25]
    labels, found = index.knn_query(queries, 25)
    np.testing.assert_allclose(found, np.take_along_axis(every, labels, axis=1), atol=1e-4)
    assert (found <= farthest + 1e-4).mean() > 0.95
    assert copy.knn_query(queries, 25)[0].tolist() == labels.tolist()


def test_deleted_elements_make_room_for_others() -> None:
    index = started(allow_replace_deleted=True)
    index.add_items(DATA)
    others = np.random.default_rng(2).random((COUNT // 2, DIM), dtype=np.float32)
    labels = np.arange(COUNT, COUNT + COUNT // 2)
    with pytest.raises(RuntimeError, match="exceeds"):
        index.add_items(others, labels)
    for label in range(COUNT // 2):
        index.mark_deleted(label)
    index.add_items(others, labels, replace_deleted=True)
    assert index.element_count == COUNT
    assert finds_itself(index, others, labels) > 0.98
    np.testing.assert_array_equal(index.get_items(labels), others)
    np.testing.assert_array_equal(index.get_items(LABELS[COUNT // 2 :]), DATA[COUNT // 2 :])
    with pytest.raises(RuntimeError, match="disabled"):
        started().add_items(others, labels, replace_deleted=True)


def test_recall_is_as_good_after_replacing_as_without() -> None:
    queries = np.random.default_rng(3).random((100, DIM), dtype=np.float32)
    others = np.random.default_rng(4).random((COUNT // 2, DIM), dtype=np.float32)
    labels = np.arange(COUNT, COUNT + COUNT // 2)
    kept = np.vstack([DATA[COUNT // 2 :], others])
    exact = np.vstack([LABELS[COUNT // 2 :, None], labels[:, None]]).ravel()[
        np.argsort(distances(queries, kept, "l2"), axis=1)[:, :10]
    ]
    replaced, fresh = started(allow_replace_deleted=True), started()
    replaced.add_items(DATA)
    for label in range(COUNT // 2):
        replaced.mark_deleted(label)
    replaced.add_items(others, labels, replace_deleted=True)
    fresh.add_items(kept, np.r_[LABELS[COUNT // 2 :], labels])
    recalls = []
    for index in (replaced, fresh):
        index.set_ef(200)
        found = index.knn_query(queries, 10)[0]
        recalls.append(np.mean([len(set(row) & set(truth)) / 10 for row, truth in zip(found, exact, strict=True)]))
    assert min(recalls) > 0.95
    assert recalls[0] > recalls[1] - 0.02


def test_a_full_index_takes_more_once_resized() -> None:
    index = started(max_elements=1000)
    index.add_items(DATA[:1000])
    with pytest.raises(RuntimeError, match="exceeds"):
        index.add_items(DATA[1000:2000])
    index.resize_index(2000)
    index.add_items(DATA[1000:2000])
    assert finds_itself(index, DATA[:2000], LABELS[:2000]) > 0.999
    with pytest.raises(RuntimeError, match="Cannot resize"):
        index.resize_index(10)


@pytest.mark.parametrize(
    ("space", "expected"),
    [("l2", [0, 1, 2, 2, 2]), ("ip", [-2, -1, 0, 0, 0]), ("cosine", [0, 0.18350, 0.42265, 0.42265, 0.42265])],
)
def test_distances_whatever_lies_around_the_numbers(space, expected) -> None:
    rows = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float32)
    for left in range(1, 32, 5):
        for right in range(1, 128, 9):
            index = Index(space, left + 3 + right)
            index.init_index(5)
            index.add_items(np.pad(rows, ((0, 0), (left, right))))
            found = index.knn_query(np.pad(rows[-1:], ((0, 0), (left, right))), 5)[1]
            np.testing.assert_allclose(found, [expected], atol=1e-4)


def test_more_than_there_are_cannot_be_asked_for() -> None:
    index = started()
    index.add_items(DATA[:5])
    with pytest.raises(RuntimeError, match="contiguous"):
        index.knn_query(DATA[:2], 6)


def test_a_known_label_gets_its_new_vector() -> None:
    index = started()
    index.add_items(DATA[:100])
    index.add_items(DATA[100:150], LABELS[:50])
    assert index.element_count == 100
    assert finds_itself(index, DATA[100:150], LABELS[:50]) == 1.0


def test_replacing_from_many_threads_loses_nothing() -> None:
    index = started(max_elements=2000, allow_replace_deleted=True)
    index.add_items(DATA[:2000])
    for label in range(1000):
        index.mark_deleted(label)
    lock, shapes = threading.Lock(), []

    def replace(begin: int) -> None:
        for row in range(begin, begin + 250, 50):
            with lock:  # the counting of the facade; searches need none
                index.add_items(DATA[row : row + 50], LABELS[row : row + 50], replace_deleted=True)
            shapes.append(index.knn_query(DATA[row : row + 50])[0].shape)

    threads = [threading.Thread(target=replace, args=(begin,)) for begin in range(2000, 3000, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shapes == [(50, 1)] * 20
    assert index.element_count == 2000
    assert finds_itself(index, DATA[1000:3000], LABELS[1000:3000]) > 0.999
