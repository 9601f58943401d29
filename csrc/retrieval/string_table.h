// Strings numbered 0, 1, 2 … in the order in which they came: open addressing over one arena of characters.

#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "retrieval/hash.h"

namespace quire::retrieval {

class StringTable {
 public:
  uint32_t size() const { return static_cast<uint32_t>(hashes_.size()); }
  std::string_view operator[](uint32_t i) const { return {&arena_[ends_[i]], ends_[i + 1] - ends_[i]}; }
  uint64_t ram_bytes() const {
    return arena_.capacity() + 4 * (ends_.capacity() + hashes_.capacity() + places_.capacity());
  }

  std::optional<uint32_t> find(std::string_view string) const {
    if (places_.empty()) return std::nullopt;
    const uint32_t number = places_[place_of(string, hash(string))];
    return number == kEmpty ? std::nullopt : std::optional(number);
  }

  // The number of `string`, which is new where it equals the size of before.
  uint32_t intern(std::string_view string) {
    if (size() * 2 >= places_.size()) grow();
    const uint32_t hashed = hash(string);
    uint32_t& number = places_[place_of(string, hashed)];
    if (number != kEmpty) return number;
    number = size();
    hashes_.push_back(hashed);
    arena_.insert(arena_.end(), string.begin(), string.end());
    ends_.push_back(static_cast<uint32_t>(arena_.size()));
    return number;
  }

  // Forgets all but the first `size`.
  void truncate(uint32_t size) {
    hashes_.resize(size);
    ends_.resize(size + 1);
    arena_.resize(ends_.back());
    place_all(places_.size());
  }

 private:
  static constexpr uint32_t kEmpty = 0xffffffff;

  static uint32_t hash(std::string_view string) {
    return static_cast<uint32_t>(hash_bytes(string.data(), string.size(), 0));
  }
  uint32_t place_of(std::string_view string, uint32_t hashed) const {
    const auto mask = static_cast<uint32_t>(places_.size() - 1);
    uint32_t place = hashed & mask;
    while (places_[place] != kEmpty && (hashes_[places_[place]] != hashed || (*this)[places_[place]] != string)) {
      place = (place + 1) & mask;
    }
    return place;
  }
  void grow() { place_all(std::max<size_t>(16, places_.size() * 2)); }
  void place_all(size_t num_places) {
    places_.assign(num_places, kEmpty);
    const auto mask = static_cast<uint32_t>(places_.size() - 1);
    for (uint32_t i = 0; i < size(); ++i) {
      uint32_t place = hashes_[i] & mask;
      while (places_[place] != kEmpty) place = (place + 1) & mask;
      places_[place] = i;
    }
  }

  std::vector<char> arena_;
  std::vector<uint32_t> ends_{0}, hashes_, places_;
};

}  // namespace quire::retrieval
