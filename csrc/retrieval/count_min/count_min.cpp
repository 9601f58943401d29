#include "retrieval/count_min/count_min.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace quire::retrieval {

CountMin::CountMin(const CountMinOptions& options) : options_(options), state_{make_cells(options), 0, {}, 0} {
  for (int row = 0; row < options.depth; ++row) {
    multipliers_.push_back(mix64(options.seed * 64 + 2 * row + 1) | 1);
    offsets_.push_back(mix64(options.seed * 64 + 2 * row + 2));
  }
}

CountMin::Cells CountMin::make_cells(const CountMinOptions& options) {
  const size_t size = size_t{options.width} * options.depth;
  if (options.counter_bits == 8) return Counters<uint8_t>(size);
  if (options.counter_bits == 16) return Counters<uint16_t>(size);
  return Counters<uint32_t>(size);
}

// One pairwise independent hash per row (multiply, add, keep the high half), scaled down to the width.
void CountMin::locate(uint64_t hash, uint64_t* cells) const {
  for (int row = 0; row < options_.depth; ++row) {
    const uint64_t high = (hash * multipliers_[row] + offsets_[row]) >> 32;
    cells[row] = uint64_t{options_.width} * row + ((high * options_.width) >> 32);
  }
}

// visit(index of the key, its cells); the cells of a few keys are fetched before the first of them is needed.
template <class Visit>
void CountMin::for_each_located(std::span<const Key> keys, const Visit& visit) const {
  constexpr size_t kAhead = 16;
  std::array<uint64_t, kAhead * kMaxDepth> at;
  const size_t depth = options_.depth;
  std::visit(
      [&](const auto& cells) {
        for (size_t begin = 0; begin < keys.size(); begin += kAhead) {
          const size_t n = std::min(kAhead, keys.size() - begin);
          for (size_t i = 0; i < n; ++i) {
            locate(keys[begin + i].hash, &at[i * depth]);
            for (size_t row = 0; row < depth; ++row) cells.prefetch(at[i * depth + row]);
          }
          for (size_t i = 0; i < n; ++i) visit(begin + i, std::span<const uint64_t>(&at[i * depth], depth));
        }
      },
      state_.cells);
}

template <class C>
uint64_t CountMin::raise(C& cells, std::span<const uint64_t> at, uint64_t count) const {
  const uint64_t estimate = cells.least(at) + count;
  if (options_.is_conservative) {
    cells.raise_to(at, estimate);
  } else {
    for (const uint64_t i : at) cells.set(i, cells.get(i) + count);
  }
  return estimate;
}

void CountMin::add(std::span<const Key> keys, std::span<const uint64_t> counts) {
  const std::lock_guard lock(mutex_);
  std::visit(
      [&](auto& cells) {
        for_each_located(keys, [&](size_t i, std::span<const uint64_t> at) {
          const uint64_t count = counts.empty() ? 1 : counts[i];
          const uint64_t estimate = raise(cells, at, count);
          state_.total += static_cast<double>(count);
          if (options_.num_hitters > 0 && estimate > state_.threshold) track(keys[i], estimate);
        });
      },
      state_.cells);
}

void CountMin::estimate(std::span<const Key> keys, uint64_t* out) const {
  const std::lock_guard lock(mutex_);
  std::visit(
      [&](const auto& cells) {
        for_each_located(keys, [&](size_t i, std::span<const uint64_t> at) { out[i] = cells.least(at); });
      },
      state_.cells);
}

uint64_t CountMin::estimate_one(const Key& key) const {
  std::array<uint64_t, kMaxDepth> buffer;
  const std::span at(buffer.data(), options_.depth);
  locate(key.hash, buffer.data());
  return std::visit([&](const auto& cells) { return cells.least(at); }, state_.cells);
}

void CountMin::track(const Key& key, uint64_t estimate) {
  const auto [it, is_new] = state_.tracked.try_emplace(key.hash);
  if (is_new) {
    it->second.bytes = key.bytes;
    it->second.kind = key.kind;
  }
  it->second.estimate = estimate;
  if (state_.tracked.size() >= 2 * options_.num_hitters) keep_best();
}

void CountMin::keep_best() {
  if (state_.tracked.size() <= options_.num_hitters) return;
  std::vector<uint64_t> estimates;
  for (const auto& [hash, hitter] : state_.tracked) estimates.push_back(hitter.estimate);
  const auto last_kept = estimates.begin() + static_cast<ptrdiff_t>(options_.num_hitters) - 1;
  std::nth_element(estimates.begin(), last_kept, estimates.end(), std::greater<>());
  state_.threshold = *last_kept;
  std::erase_if(state_.tracked, [&](const auto& entry) { return entry.second.estimate < state_.threshold; });
  // Keys that tie with the last one kept may be many; any of them will do.
  for (auto it = state_.tracked.begin(); it != state_.tracked.end() && state_.tracked.size() > options_.num_hitters;) {
    it = it->second.estimate == state_.threshold ? state_.tracked.erase(it) : std::next(it);
  }
}

CountMin::State CountMin::copy_state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

void CountMin::merge(const CountMin& other) {
  const State theirs = other.copy_state();
  const std::lock_guard lock(mutex_);
  std::visit(
      [](auto& mine, const auto& added) {
        for (uint64_t i = 0; i < mine.size(); ++i) mine.set(i, mine.get(i) + added.get(i));
      },
      state_.cells, theirs.cells);
  state_.total += theirs.total;
  if (options_.num_hitters == 0) return;
  for (const auto& [hash, hitter] : theirs.tracked) state_.tracked.try_emplace(hash, hitter);
  for (auto& [hash, hitter] : state_.tracked) hitter.estimate = estimate_one(key(hitter.bytes, hitter.kind));
  keep_best();
}

void CountMin::decay(double factor) {
  const std::lock_guard lock(mutex_);
  const auto scaled = [factor](uint64_t count) { return static_cast<uint64_t>(static_cast<double>(count) * factor); };
  std::visit(
      [&](auto& cells) {
        for (uint64_t i = 0; i < cells.size(); ++i) cells.set(i, scaled(cells.get(i)));
      },
      state_.cells);
  state_.total *= factor;
  state_.threshold = scaled(state_.threshold);
  for (auto& [hash, hitter] : state_.tracked) hitter.estimate = scaled(hitter.estimate);
  std::erase_if(state_.tracked, [](const auto& entry) { return entry.second.estimate == 0; });
}

void CountMin::clear() {
  const std::lock_guard lock(mutex_);
  state_ = State{make_cells(options_), 0, {}, 0};
}

std::vector<Hitter> CountMin::heavy_hitters(uint64_t k) const {
  const std::lock_guard lock(mutex_);
  std::vector<Hitter> hitters;
  for (const auto& [hash, hitter] : state_.tracked) {
    hitters.push_back({hitter.bytes, hitter.kind, estimate_one(key(hitter.bytes, hitter.kind))});
  }
  std::sort(hitters.begin(), hitters.end(), [](const Hitter& a, const Hitter& b) {
    return a.estimate != b.estimate ? a.estimate > b.estimate : a.bytes < b.bytes;
  });
  if (hitters.size() > std::min(k, options_.num_hitters)) hitters.resize(std::min(k, options_.num_hitters));
  return hitters;
}

double CountMin::total() const {
  const std::lock_guard lock(mutex_);
  return state_.total;
}

double CountMin::error_bound() const { return std::numbers::e / options_.width * total(); }

uint64_t CountMin::num_bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t num_bytes = std::visit([](const auto& cells) { return cells.num_bytes(); }, state_.cells);
  for (const auto& [hash, hitter] : state_.tracked) num_bytes += sizeof(Hitter) + hitter.bytes.size();
  return num_bytes;
}

}  // namespace quire::retrieval
