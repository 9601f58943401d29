// From the caller's ids to slots: open addressing with linear probing, at most half full.
//
// Invariant: between an entry and its home there is no empty place. Not synchronised.

#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "hash.h"

namespace quire::retrieval {

class IdTable {
 public:
  uint32_t size() const { return size_; }
  size_t ram_bytes() const { return entries_.size() * sizeof(Entry); }

  std::optional<uint32_t> find(int64_t id) const {
    if (entries_.empty()) return std::nullopt;
    const Entry& entry = entries_[place_of(id)];
    return entry.slot == kEmpty ? std::nullopt : std::optional(entry.slot);
  }

  void reserve(uint32_t num_ids) {
    if (num_ids * uint64_t{2} <= entries_.size()) return;
    std::vector<Entry> old(std::bit_ceil(std::max<uint64_t>(16, num_ids * uint64_t{2})));
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.slot != kEmpty) entries_[place_of(entry.id)] = entry;
    }
  }

  void set(int64_t id, uint32_t slot) {
    reserve(size_ + 1);
    Entry& entry = entries_[place_of(id)];
    size_ += entry.slot == kEmpty;
    entry = {id, slot};
  }

  void erase(int64_t id) {
    if (entries_.empty()) return;
    uint64_t hole = place_of(id);
    if (entries_[hole].slot == kEmpty) return;
    --size_;
    // Entries behind the hole move up into it unless that would put them before their home.
    for (uint64_t i = next(hole); entries_[i].slot != kEmpty; i = next(i)) {
      const uint64_t from_home = (i - home(entries_[i].id)) & mask();
      if (from_home < ((i - hole) & mask())) continue;
      entries_[hole] = entries_[i];
      hole = i;
    }
    entries_[hole] = Entry{};
  }

 private:
  static constexpr uint32_t kEmpty = 0xffffffff;
  struct Entry {
    int64_t id = 0;
    uint32_t slot = kEmpty;
  };

  uint64_t mask() const { return entries_.size() - 1; }
  uint64_t home(int64_t id) const { return mix64(static_cast<uint64_t>(id)) & mask(); }
  uint64_t next(uint64_t place) const { return (place + 1) & mask(); }
  uint64_t place_of(int64_t id) const {
    uint64_t place = home(id);
    while (entries_[place].slot != kEmpty && entries_[place].id != id) place = next(place);
    return place;
  }

  std::vector<Entry> entries_;
  uint32_t size_ = 0;
};

}  // namespace quire::retrieval
