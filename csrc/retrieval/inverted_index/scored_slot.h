// The best k of the documents offered, in slots.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace quire::retrieval {

struct ScoredSlot {
  float score;
  uint32_t slot;
  // Best first: the higher score, then the earlier slot.
  bool operator<(const ScoredSlot& other) const {
    return score != other.score ? score > other.score : slot < other.slot;
  }
};

class BestSlots {
 public:
  explicit BestSlots(size_t k) : k_(k) {}

  bool is_full() const { return slots_.size() == k_; }
  // The k-th best so far. REQUIRES: is_full().
  float worst() const { return slots_.front().score; }
  bool admits(float score) const { return !is_full() || score > worst(); }

  // Slots ascend, so of equal scores the first stay.
  void offer(const ScoredSlot& slot) {
    if (!admits(slot.score)) return;
    if (is_full()) {
      std::pop_heap(slots_.begin(), slots_.end());
      slots_.pop_back();
    }
    slots_.push_back(slot);
    std::push_heap(slots_.begin(), slots_.end());
  }

  // Best first; leaves none.
  std::vector<ScoredSlot> take() {
    std::sort_heap(slots_.begin(), slots_.end());
    return std::exchange(slots_, {});
  }

 private:
  size_t k_;
  std::vector<ScoredSlot> slots_;  // a heap, the worst in front
};

}  // namespace quire::retrieval
