// A priority queue whose entries can be found, changed and removed by handle.
//
//   heap_       [ top | 4 children of the top | 16 grandchildren … ]     entry = (rank, order, handle)
//   positions_  handle -> index into heap_, or kAbsent
//
// Lowest (rank, order) on top. `order` counts pushes, so entries of equal rank leave in the order they came; an update
// keeps it. A max-heap is the same heap over negated priorities. Four children instead of two: half the depth, and the
// children of a node share a cache line or two.
//
// Invariants: positions_[heap_[i].handle] == i for every i; no other handle has a position; no entry comes before its
// parent; orders are distinct and below next_order_.
//
// Handles are small integers chosen by the caller; memory is O(largest handle). Push, pop, update and remove are
// O(log n), all reads O(1), heapify O(n). Not thread-safe: the caller serialises.
// REQUIRES of every priority: not NaN.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace quire {

class IndexedHeap {
 public:
  using Handle = std::uint32_t;

  explicit IndexedHeap(bool max_heap = false) : sign_(max_heap ? -1.0 : 1.0) {}

  std::size_t size() const { return heap_.size(); }
  bool empty() const { return heap_.empty(); }
  bool is_max_heap() const { return sign_ < 0; }
  bool contains(Handle handle) const { return handle < positions_.size() && positions_[handle] != kAbsent; }

  // The handle at `position` in heap order; position 0 is the top. REQUIRES: position < size().
  Handle at(std::size_t position) const { return heap_[position].handle; }

  // REQUIRES: contains(handle).
  double priority(Handle handle) const { return sign_ * heap_[positions_[handle]].rank; }

  // REQUIRES: !contains(handle).
  void push(Handle handle, double priority) {
    append(handle, priority);
    sift_up(heap_.size() - 1, heap_.back());
  }

  // Adds without ordering; `restore_order` must follow before anything else. REQUIRES: !contains(handle).
  void append(Handle handle, double priority) {
    if (handle >= positions_.size()) positions_.resize(handle + std::size_t{1}, kAbsent);
    heap_.push_back({sign_ * priority, next_order_++, handle});
    positions_[handle] = static_cast<Position>(heap_.size() - 1);
  }

  void restore_order() {
    if (heap_.size() < 2) return;
    for (std::size_t position = parent(heap_.size() - 1) + 1; position-- > 0;) sift_down(position, heap_[position]);
  }

  // REQUIRES: contains(handle).
  void update(Handle handle, double priority) {
    const std::size_t position = positions_[handle];
    Entry entry = heap_[position];
    const bool rises = sign_ * priority < entry.rank;
    entry.rank = sign_ * priority;
    rises ? sift_up(position, entry) : sift_down(position, entry);
  }

  // REQUIRES: contains(handle).
  void remove(Handle handle) {
    const std::size_t position = positions_[handle];
    positions_[handle] = kAbsent;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (position < heap_.size()) fill_hole(position, last);
  }

  // The invariant that does not hold, in words; empty when all hold. O(n).
  std::string broken_invariant() const;

 private:
  using Position = std::uint32_t;
  static constexpr Position kAbsent = ~Position{0};
  static constexpr std::size_t kArity = 4;

  struct Entry {
    double rank;
    std::uint64_t order;
    Handle handle;
  };

  static bool comes_before(const Entry& a, const Entry& b) {
    return a.rank < b.rank || (a.rank == b.rank && a.order < b.order);
  }
  static std::size_t parent(std::size_t position) { return (position - 1) / kArity; }
  static std::size_t first_child(std::size_t position) { return position * kArity + 1; }

  void place(std::size_t position, const Entry& entry) {
    heap_[position] = entry;
    positions_[entry.handle] = static_cast<Position>(position);
  }

  void sift_up(std::size_t position, const Entry entry) {
    while (position > 0 && comes_before(entry, heap_[parent(position)])) {
      place(position, heap_[parent(position)]);
      position = parent(position);
    }
    place(position, entry);
  }

  void sift_down(std::size_t position, const Entry entry) {
    for (std::size_t child; (child = foremost_child(position)) != 0 && comes_before(heap_[child], entry);) {
      place(position, heap_[child]);
      position = child;
    }
    place(position, entry);
  }

  // The entry that fills a hole comes from the end of the heap and mostly belongs near the end again: lead the hole to
  // a leaf without looking at the entry, then let it rise the little it has to.
  void fill_hole(std::size_t position, const Entry& entry) {
    for (std::size_t child; (child = foremost_child(position)) != 0;) {
      place(position, heap_[child]);
      position = child;
    }
    sift_up(position, entry);
  }

  // 0 when `position` is a leaf.
  std::size_t foremost_child(std::size_t position) const {
    const std::size_t first = first_child(position);
    if (first >= heap_.size()) return 0;
    const std::size_t end = std::min(first + kArity, heap_.size());
    std::size_t best = first;
    for (std::size_t child = first + 1; child < end; ++child) {
      if (comes_before(heap_[child], heap_[best])) best = child;
    }
    return best;
  }

  double sign_;
  std::uint64_t next_order_ = 0;
  std::vector<Entry> heap_;
  std::vector<Position> positions_;
};

inline std::string IndexedHeap::broken_invariant() const {
  for (std::size_t i = 0; i < heap_.size(); ++i) {
    const std::string where = "entry at position " + std::to_string(i);
    if (!contains(heap_[i].handle) || positions_[heap_[i].handle] != i) return where + " is not where its handle says";
    if (heap_[i].order >= next_order_) return where + " has an order that was never given";
    if (i > 0 && comes_before(heap_[i], heap_[parent(i)])) return where + " comes before its parent";
  }
  const auto present = positions_.size() - std::count(positions_.begin(), positions_.end(), kAbsent);
  if (present != heap_.size())
    return std::to_string(present) + " handles have a position, not " + std::to_string(size());
  return {};
}

}  // namespace quire
