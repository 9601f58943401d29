// Count-Min sketch: how often was this key added, in fixed memory, never too low, too high by at most e/width · total
// with probability 1 - e^-depth (Cormode & Muthukrishnan 2005).
//
//   row 0   [ c c c c … width ]      a key has one cell in every row;
//   row 1   [ c c c c … width ]      its estimate is the least of them
//   …depth
//
// Conservative update raises only the cells below the new estimate, which never adds error and usually halves it.
// A counter that outgrows its cell continues in a side table, so narrow cells lose nothing.
// The heavy hitters are the keys whose estimate was highest when they were last added; up to twice as many as asked are
// tracked, and pruned to the best when that many are reached.
//
// Thread safety: every public function takes the sketch's lock.
// Invariants: cells_ holds depth · width cells; a cell is full exactly when the side table has its count.

#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "hash.h"

namespace quire::retrieval {

enum class KeyKind : uint8_t { kText, kBytes, kInteger };

// A view of a key, as one sketch hashes it; an integer is its eight bytes.
struct Key {
  std::string_view bytes;
  KeyKind kind;
  uint64_t hash;
};

struct Hitter {
  std::string bytes;
  KeyKind kind;
  uint64_t estimate;
};

struct CountMinOptions {
  uint32_t width;
  int depth;
  int counter_bits;  // 8, 16 or 32
  bool is_conservative;
  uint64_t num_hitters;
  uint64_t seed;

  bool can_merge(const CountMinOptions& other) const {
    return width == other.width && depth == other.depth && seed == other.seed;
  }
};

// Counts of any size in cells of one size.
template <class Cell>
class Counters {
 public:
  explicit Counters(size_t size) : cells_(size, 0) {}

  uint64_t get(uint64_t i) const { return cells_[i] != kFull ? cells_[i] : overflow_.at(i); }
  void set(uint64_t i, uint64_t count) {
    if (count < kFull) [[likely]] {
      if (cells_[i] == kFull) overflow_.erase(i);
      cells_[i] = static_cast<Cell>(count);
    } else {
      cells_[i] = kFull;
      overflow_[i] = count;
    }
  }
  // The least count of the cells `at`.
  uint64_t least(std::span<const uint64_t> at) const {
    const Cell least = least_cell(at);
    if (least < kFull) [[likely]]
      return least;
    uint64_t count = get(at[0]);
    for (const uint64_t i : at) count = std::min(count, get(i));
    return count;
  }
  // No cell of `at` stays below `count`. A full cell is never below a count that fits into a cell.
  void raise_to(std::span<const uint64_t> at, uint64_t count) {
    if (count < kFull) [[likely]] {
      for (const uint64_t i : at) cells_[i] = std::max(cells_[i], static_cast<Cell>(count));
    } else {
      for (const uint64_t i : at) set(i, std::max(get(i), count));
    }
  }
  void prefetch(uint64_t i) const { __builtin_prefetch(&cells_[i], 1); }
  uint64_t size() const { return cells_.size(); }
  uint64_t num_bytes() const { return cells_.size() * sizeof(Cell) + overflow_.size() * 2 * sizeof(uint64_t); }

 private:
  static constexpr Cell kFull = static_cast<Cell>(-1);

  Cell least_cell(std::span<const uint64_t> at) const {
    Cell least = kFull;
    for (const uint64_t i : at) least = std::min(least, cells_[i]);
    return least;
  }

  std::vector<Cell> cells_;
  std::unordered_map<uint64_t, uint64_t> overflow_;
};

class CountMin {
 public:
  static constexpr int kMaxDepth = 32;

  explicit CountMin(const CountMinOptions& options);

  // As add and estimate of this sketch take it.
  Key key(std::string_view bytes, KeyKind kind) const {
    return {bytes, kind, hash_bytes(bytes.data(), bytes.size(), options_.seed + static_cast<uint64_t>(kind))};
  }

  // Counts are 1 each where `counts` is empty.
  void add(std::span<const Key> keys, std::span<const uint64_t> counts);
  void estimate(std::span<const Key> keys, uint64_t* out) const;

  // Adds the other's counts. REQUIRES: options().can_merge(other.options()).
  void merge(const CountMin& other);
  // Every count times `factor`, rounded down. REQUIRES: 0 <= factor <= 1.
  void decay(double factor);
  void clear();

  // Best first, at most `k`.
  std::vector<Hitter> heavy_hitters(uint64_t k) const;
  double total() const;
  double error_bound() const;
  uint64_t num_bytes() const;
  const CountMinOptions& options() const { return options_; }

 private:
  using Cells = std::variant<Counters<uint8_t>, Counters<uint16_t>, Counters<uint32_t>>;
  struct State {
    Cells cells;
    double total = 0;
    std::unordered_map<uint64_t, Hitter> tracked;  // by hash
    uint64_t threshold = 0;                        // what an untracked key must exceed
  };

  static Cells make_cells(const CountMinOptions& options);
  void locate(uint64_t hash, uint64_t* cells) const;
  template <class Visit>
  void for_each_located(std::span<const Key> keys, const Visit& visit) const;
  template <class C>
  uint64_t raise(C& cells, std::span<const uint64_t> at, uint64_t count) const;
  uint64_t estimate_one(const Key& key) const;
  void track(const Key& key, uint64_t estimate);
  void keep_best();
  State copy_state() const;

  CountMinOptions options_;
  std::vector<uint64_t> multipliers_, offsets_;  // one per row
  State state_;
  mutable std::mutex mutex_;
};

}  // namespace quire::retrieval
