// Strings numbered 0, 1, 2 … in the order in which they came: open addressing over one arena of characters. Its arrays
// may lie in a mapped file.

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hash.h"
#include "retrieval/buffer.h"
#include "retrieval/files/table_file.h"

namespace quire::retrieval {

class StringTable {
 public:
  StringTable() { ends_.push_back(0); }

  uint32_t size() const { return hashes_.size(); }
  std::string_view operator[](uint32_t i) const { return {arena_.data() + ends_[i], ends_[i + 1] - ends_[i]}; }
  uint64_t ram_bytes() const {
    return arena_.ram_bytes() + ends_.ram_bytes() + hashes_.ram_bytes() + places_.ram_bytes();
  }

  std::optional<uint32_t> find(std::string_view string) const {
    if (places_.empty()) return std::nullopt;
    const uint32_t number = places_[place_of(string, hash(string))];
    return number == kEmpty ? std::nullopt : std::optional(number);
  }

  // The number of `string`, which is new where it equals the size of before.
  uint32_t intern(std::string_view string) { return intern(string, hash(string)); }

  // emit(number) for each string in its order; places of those to come are fetched meanwhile.
  template <class Emit>
  void intern_all(std::span<const std::string_view> strings, const Emit& emit) {
    constexpr size_t kAhead = 8;
    uint32_t hashes[kAhead];
    const auto fetch = [&](size_t i) {
      hashes[i % kAhead] = hash(strings[i]);
      if (!places_.empty()) __builtin_prefetch(&places_[hashes[i % kAhead] & (places_.size() - 1)]);
    };
    for (size_t i = 0; i < std::min(kAhead, strings.size()); ++i) fetch(i);
    for (size_t i = 0; i < strings.size(); ++i) {
      emit(intern(strings[i], hashes[i % kAhead]));
      if (i + kAhead < strings.size()) fetch(i + kAhead);
    }
  }

  // Four tables, and the same read back in place.
  static constexpr size_t kNumTables = 4;
  void save(TableWriter& file) const {
    file.add(arena_);
    file.add(ends_);
    file.add(hashes_);
    file.add(places_);
  }
  void map(const TableFile& file, size_t first_table) {
    arena_ = Buffer(file.rows<char>(first_table));
    ends_ = Buffer(file.rows<uint32_t>(first_table + 1));
    hashes_ = Buffer(file.rows<uint32_t>(first_table + 2));
    places_ = Buffer(file.rows<uint32_t>(first_table + 3));
  }

  // Forgets all but the first `size`.
  void truncate(uint32_t size) {
    hashes_.truncate(size);
    ends_.truncate(size + 1);
    arena_.truncate(ends_.back());
    place_all(places_.size());
  }

 private:
  static constexpr uint32_t kEmpty = 0xffffffff;

  uint32_t intern(std::string_view string, uint32_t hashed) {
    if (size() * 2 >= places_.size()) grow();
    uint32_t& number = places_[place_of(string, hashed)];
    if (number != kEmpty) return number;
    arena_.truncate(ends_[size()]);  // what an earlier call left that ran out of memory here
    ends_.truncate(size() + 1);
    arena_.append(string.data(), string.size());
    ends_.push_back(arena_.size());
    hashes_.push_back(hashed);
    return number = size() - 1;
  }

  static uint32_t hash(std::string_view string) {
    return static_cast<uint32_t>(hash_bytes(string.data(), string.size(), 0));
  }
  uint32_t place_of(std::string_view string, uint32_t hashed) const {
    const uint32_t mask = places_.size() - 1;
    uint32_t place = hashed & mask;
    while (places_[place] != kEmpty && (hashes_[places_[place]] != hashed || (*this)[places_[place]] != string)) {
      place = (place + 1) & mask;
    }
    return place;
  }
  void grow() { place_all(std::max<uint32_t>(16, places_.size() * 2)); }
  void place_all(uint32_t num_places) {
    places_.assign(num_places, kEmpty);
    const uint32_t mask = places_.size() - 1;
    for (uint32_t i = 0; i < size(); ++i) {
      uint32_t place = hashes_[i] & mask;
      while (places_[place] != kEmpty) place = (place + 1) & mask;
      places_[place] = i;
    }
  }

  Buffer<char> arena_;
  Buffer<uint32_t> ends_, hashes_, places_;
};

}  // namespace quire::retrieval
