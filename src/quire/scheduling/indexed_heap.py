"""A priority queue whose entries can be found, re-prioritised and removed by key.

    IndexedHeap(max_heap=False)                             empty
    IndexedHeap.heapify(keys, priorities, max_heap=False)   filled in O(n)

    push(key, priority)        O(log n)   KeyError if the key is already in the heap
    update(key, priority)      O(log n)   KeyError if it is not; so for all that follow
    increase(key, amount)      O(log n)   adds to the priority and returns the new one; ValueError if amount < 0
    decrease(key, amount)      O(log n)   subtracts
    delete(key) -> priority    O(log n)
    heap[key] -> priority      O(1)
    key in heap, len(heap)     O(1)
    pop(), peek()              O(log n), O(1)   (key, priority) of the top; IndexError if the heap is empty
    iter(heap)                 the keys as they were when iteration began, in no useful order
    clear(), check_invariants()

The lowest priority is on top, the highest under `max_heap`. Of equal priorities, the key pushed first leaves first;
changing a priority does not change when a key was pushed. Keys are anything hashable, told apart as a dict does; the
heap keeps them alive. Priorities are floats; NaN has no place in an order and is a ValueError. A call that raises, but
for lack of memory, has changed nothing.

Thread safety: every call holds the GIL and is atomic to other threads, unless comparing two keys runs Python code; the
heap stays valid then too, also if that code changes the heap.
Invariant: see `csrc/scheduling/indexed_heap.h`, where the algorithm is; this is its face.
"""

from quire._native import IndexedHeap

__all__ = ["IndexedHeap"]
