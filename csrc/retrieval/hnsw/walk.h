// What one walk through the graph needs to remember; reused from walk to walk, by one thread at a time.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace quire::retrieval {

struct Hit {
  float distance;
  uint32_t slot;

  bool operator<(const Hit& other) const {
    return distance != other.distance ? distance < other.distance : slot < other.slot;
  }
};

// A set of slots that is emptied by counting up.
class VisitedSet {
 public:
  void reset(uint32_t num_slots) {
    if (marks_.size() < num_slots) marks_.resize(num_slots + num_slots / 4, 0);
    if (++epoch_ == 0) {
      std::fill(marks_.begin(), marks_.end(), 0);
      epoch_ = 1;
    }
  }
  // True the first time.
  bool insert(uint32_t slot) {
    if (marks_[slot] == epoch_) return false;
    marks_[slot] = epoch_;
    return true;
  }

 private:
  std::vector<uint8_t> marks_;
  uint8_t epoch_ = 0;
};

// The nearest `limit` slots seen, nearest first, and which of them were expanded already.
class Beam {
 public:
  void reset(size_t limit) {
    limit_ = limit;
    size_ = cursor_ = 0;
    if (items_.size() < limit + 1) items_.resize(limit + 1);
  }

  size_t size() const { return size_; }
  Hit operator[](size_t i) const { return {items_[i].distance, items_[i].slot & ~kExpanded}; }
  bool admits(float distance) const { return size_ < limit_ || distance < items_[size_ - 1].distance; }

  // REQUIRES: admits(distance).
  void insert(float distance, uint32_t slot) {
    Hit* const begin = items_.data();
    Hit* const place = std::upper_bound(begin, begin + size_, distance,
                                        [](float value, const Hit& item) { return value < item.distance; });
    size_ -= size_ == limit_;
    std::memmove(place + 1, place, (begin + size_ - place) * sizeof(Hit));
    *place = {distance, slot};
    ++size_;
    cursor_ = std::min(cursor_, static_cast<size_t>(place - begin));
  }

  bool has_next() {
    while (cursor_ < size_ && (items_[cursor_].slot & kExpanded)) ++cursor_;
    return cursor_ < size_;
  }
  // The nearest that was not expanded. REQUIRES: has_next().
  uint32_t peek() const { return items_[cursor_].slot; }
  uint32_t expand_next() {
    const uint32_t slot = items_[cursor_].slot;
    items_[cursor_++].slot |= kExpanded;
    return slot;
  }

 private:
  static constexpr uint32_t kExpanded = 0x80000000;
  std::vector<Hit> items_;
  size_t limit_ = 0, size_ = 0, cursor_ = 0;
};

struct WalkState {
  VisitedSet visited;
  Beam beam;
  std::vector<Hit> frontier, found;  // heaps of a filtered walk
  std::vector<float> unit;
  std::vector<uint8_t> query, exact_query;  // rows, with room to align them

  // The neighbours of the slot being expanded that were not seen before.
  std::vector<uint32_t> slots;
  std::vector<const uint8_t*> rows;
  std::vector<float> distances;

  void reserve_fanout(size_t fanout) {
    if (slots.size() >= fanout) return;
    slots.resize(fanout);
    rows.resize(fanout);
    distances.resize(fanout);
  }
};

class WalkStates {
 public:
  // A state for one thread, given back when it goes out of scope.
  class Lease {
   public:
    Lease(WalkStates& owner, std::unique_ptr<WalkState> state) : owner_(owner), state_(std::move(state)) {}
    ~Lease() {
      const std::lock_guard lock(owner_.mutex_);
      owner_.idle_.push_back(std::move(state_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    WalkState& operator*() const { return *state_; }

   private:
    WalkStates& owner_;
    std::unique_ptr<WalkState> state_;
  };

  Lease lease() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return {*this, std::make_unique<WalkState>()};
    auto state = std::move(idle_.back());
    idle_.pop_back();
    return {*this, std::move(state)};
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<WalkState>> idle_;
};

}  // namespace quire::retrieval
