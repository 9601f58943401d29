import gc
import math
import random
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quire.scheduling.indexed_heap import IndexedHeap
from tests.reference.sorted_queue import SortedQueue

PRIORITIES = st.sampled_from([-math.inf, -1.5, -0.0, 0.0, 1.0, 2.0, math.inf]) | st.floats(allow_nan=False)
KEYS = st.integers(-3, 40) | st.text("ab", max_size=3) | st.tuples(st.integers(0, 3), st.booleans()) | st.none()


class HeapAgainstSortedList(RuleBasedStateMachine):
    """Every operation, in any order, on the heap and on the oracle; both must always agree on everything visible."""

    @initialize(max_heap=st.booleans(), items=st.dictionaries(KEYS, PRIORITIES))
    def begin(self, max_heap, items):
        self.heap = IndexedHeap.heapify(items.keys(), items.values(), max_heap)
        self.oracle = SortedQueue(max_heap)
        for key, priority in items.items():
            self.oracle.push(key, priority)

    @rule(key=KEYS, priority=PRIORITIES)
    def push(self, key, priority):
        if key in dict(self.oracle.items):
            with pytest.raises(KeyError, match="already in the heap"):
                self.heap.push(key, priority)
        else:
            self.heap.push(key, priority)
            self.oracle.push(key, priority)

    @rule(key=KEYS, priority=PRIORITIES)
    def update(self, key, priority):
        if key in dict(self.oracle.items):
            self.heap.update(key, priority)
            self.oracle.update(key, priority)
        else:
            with pytest.raises(KeyError, match="not in the heap"):
                self.heap.update(key, priority)

    @precondition(lambda self: self.oracle.items)
    @rule(data=st.data(), amount=st.floats(0, 1e300), is_increase=st.booleans())
    def shift(self, data, amount, is_increase):
        key, priority = data.draw(st.sampled_from(self.oracle.items))
        shift = self.heap.increase if is_increase else self.heap.decrease
        expected = priority + amount if is_increase else priority - amount
        assert shift(key, amount) == expected
        self.oracle.update(key, expected)

    @rule(key=KEYS)
    def delete(self, key):
        if key in dict(self.oracle.items):
            assert self.heap.delete(key) == self.oracle.delete(key)
        else:
            with pytest.raises(KeyError, match="not in the heap"):
                self.heap.delete(key)

    @rule()
    def pop(self):
        if self.oracle.items:
            assert self.heap.pop() == self.oracle.pop()
        else:
            with pytest.raises(IndexError):
                self.heap.pop()

    @rule()
    def clear(self):
        self.heap.clear()
        self.oracle.items.clear()

    @invariant()
    def agrees(self):
        self.heap.check_invariants()
        assert len(self.heap) == len(self.oracle.items)
        assert {key: self.heap[key] for key in self.heap} == dict(self.oracle.items)
        if self.oracle.items:
            assert self.heap.peek() == self.oracle.in_order()[0]

    def teardown(self):
        if hasattr(self, "oracle"):
            assert [self.heap.pop() for _ in range(len(self.heap))] == self.oracle.in_order()


TestHeapAgainstSortedList = HeapAgainstSortedList.TestCase
TestHeapAgainstSortedList.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.integers(0, 3), max_size=200), st.booleans())
def test_equal_priorities_leave_in_the_order_of_their_pushes(priorities, max_heap):
    heap = IndexedHeap(max_heap)
    for key, priority in enumerate(priorities):
        heap.push(key, priority)
    popped = [heap.pop()[0] for _ in priorities]
    assert popped == sorted(range(len(priorities)), key=lambda key: -priorities[key] if max_heap else priorities[key])


def test_an_update_keeps_the_place_among_equals():
    heap = IndexedHeap.heapify("abc", [1, 1, 1])
    heap.update("a", 5)
    heap.update("a", 1)
    assert [heap.pop()[0] for _ in range(3)] == ["a", "b", "c"]


def test_a_large_heap_under_churn_pops_in_order():
    rnd = random.Random(7)
    heap, alive = IndexedHeap(), {}
    for step in range(60_000):
        key = rnd.randrange(20_000) * 2**40
        if key not in heap:
            alive[key] = rnd.random()
            heap.push(key, alive[key])
        elif step % 3:
            alive[key] = rnd.random()
            heap.update(key, alive[key])
        else:
            assert heap.delete(key) == alive.pop(key)
    heap.check_invariants()
    assert [heap.pop() for _ in range(len(heap))] == sorted(alive.items(), key=lambda item: item[1])


def test_keys_are_told_apart_as_a_dict_does():
    heap = IndexedHeap()
    heap.push(1, 10.0)
    assert 1.0 in heap
    assert True in heap
    assert "1" not in heap
    nan = float("nan")
    heap.push(nan, 5.0)
    assert nan in heap
    assert heap.pop() == (nan, 5.0)


def test_refusals_leave_the_heap_as_it_was():
    heap = IndexedHeap.heapify(["a"], [1.0])
    for refuse, error in [
        (lambda: heap.push("b", math.nan), ValueError),
        (lambda: heap.update("a", math.nan), ValueError),
        (lambda: heap.increase("a", -1.0), ValueError),
        (lambda: heap.decrease("a", math.nan), ValueError),
        (lambda: heap.push([], 1.0), TypeError),
        (lambda: heap.push("b", "soon"), TypeError),
        (lambda: heap["b"], KeyError),
        (lambda: IndexedHeap().peek(), IndexError),
        (lambda: IndexedHeap.heapify(["a", "a"], [1, 2]), KeyError),
        (lambda: IndexedHeap.heapify(["a"], [1, 2]), ValueError),
        (lambda: IndexedHeap.heapify(["a"], [math.nan]), ValueError),
    ]:
        with pytest.raises(error):
            refuse()
    heap.update("a", math.inf)
    with pytest.raises(ValueError, match="nan"):
        heap.decrease("a", math.inf)
    assert list(heap) == ["a"]
    assert heap["a"] == math.inf
    heap.check_invariants()


class Colliding:
    """All of these hash alike, and comparing two of them runs `on_compare`."""

    def __init__(self, name, on_compare=lambda: None):
        self.name, self.on_compare = name, on_compare

    def __hash__(self):
        return 1

    def __eq__(self, other):
        self.on_compare()
        other.on_compare()
        return self.name == other.name


def test_keys_that_all_hash_alike():
    heap = IndexedHeap()
    for name in range(50):
        heap.push(Colliding(name), name)
    for name in range(0, 50, 3):
        assert heap.delete(Colliding(name)) == name
    heap.check_invariants()
    assert [heap.pop()[0].name for _ in range(len(heap))] == [name for name in range(50) if name % 3]


def test_a_comparison_that_changes_the_heap():
    heap = IndexedHeap()
    keys = [Colliding(name) for name in range(8)]
    for name, key in enumerate(keys):
        heap.push(key, name)

    def delete_the_first_once():
        if keys[0] in heap:
            probe.on_compare = lambda: None
            heap.delete(keys[0])

    probe = Colliding("absent", delete_the_first_once)
    assert probe not in heap
    assert [key.name for key in heap if key.name < 4] == [1, 2, 3]
    assert len(heap) == 7
    heap.check_invariants()


def test_a_comparison_that_raises():
    def fail():
        raise RuntimeError("no")

    heap = IndexedHeap()
    heap.push(Colliding("a"), 1.0)
    with pytest.raises(RuntimeError, match="no"):
        heap.push(Colliding("b", fail), 1.0)
    heap.check_invariants()
    assert len(heap) == 1


class Key:
    pass


def test_keys_live_as_long_as_they_are_in_the_heap():
    heap = IndexedHeap()
    for leave in (heap.pop, lambda: heap.delete(next(iter(heap))), heap.clear):
        key = Key()
        gone = weakref.ref(key)
        heap.push(key, 1.0)
        del key
        gc.collect()
        assert gone() is not None
        leave()
        assert gone() is None


def test_a_heap_in_a_cycle_with_its_key_is_collected():
    key = Key()
    key.heap = IndexedHeap()
    key.heap.push(key, 1.0)
    gone = weakref.ref(key)
    del key
    gc.collect()
    assert gone() is None


def test_a_key_that_uses_the_heap_while_it_dies():
    heap = IndexedHeap()
    sizes = []

    class Mourner:
        def __del__(self):
            sizes.append(len(heap))
            heap.push(object(), 1.0)
            heap.check_invariants()

    for _ in range(5):
        heap.push(Mourner(), 0.0)
    heap.clear()
    assert sizes == [0, 1, 2, 3, 4]
    heap.check_invariants()


def test_iteration_sees_the_keys_of_its_beginning():
    heap = IndexedHeap.heapify(range(5), range(5))
    for key in heap:
        heap.delete(key)
    assert len(heap) == 0
