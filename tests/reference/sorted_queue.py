"""A priority queue that is a list, sorted at every look: the oracle of `IndexedHeap`."""

from collections.abc import Hashable


class SortedQueue:
    def __init__(self, max_heap: bool = False) -> None:
        self.sign = -1.0 if max_heap else 1.0
        self.items: list[tuple[Hashable, float]] = []

    def push(self, key: Hashable, priority: float) -> None:
        self.items.append((key, priority))

    def update(self, key: Hashable, priority: float) -> None:
        self.items = [(k, priority if k == key else p) for k, p in self.items]

    def delete(self, key: Hashable) -> float:
        priority = dict(self.items)[key]
        self.items = [(k, p) for k, p in self.items if k != key]
        return priority

    def in_order(self) -> list[tuple[Hashable, float]]:
        """Python's sort is stable, and `items` is in the order of the pushes."""
        return sorted(self.items, key=lambda item: self.sign * item[1])

    def pop(self) -> tuple[Hashable, float]:
        top = self.in_order()[0]
        self.delete(top[0])
        return top
