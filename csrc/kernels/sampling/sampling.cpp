#include "kernels/sampling/sampling.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "kernels/scratch.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

namespace {

struct Row {
  const float* weights;
  int64_t vocab;
  const float* maxima;  // of the blocks
  const float* sums;
  int64_t blocks;
};

struct Filter {
  int64_t top_k;
  double top_p;
  float least;  // min_p, or the least weight that can be drawn
};

struct Candidate {
  float weight;
  int64_t id;
};

struct Point {
  int64_t index;
  double rest;  // where in the share of that index, in [0, 1)
};

// What lies `target` into the weights laid end to end. Without any weight, the first.
template <class WeightAt>
Point find_point(int64_t count, double target, WeightAt&& weight_at) {
  Point found{0, 0.0};
  double reach = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    const double weight = weight_at(i);
    if (!(weight > 0.0)) continue;
    reach += weight;
    found = {i, std::clamp(1.0 - (reach - target) / weight, 0.0, 1.0)};
    if (reach > target) break;
  }
  return found;
}

int64_t draw_any(const Row& row, double uniform) {
  const double total = std::accumulate(row.sums, row.sums + row.blocks, 0.0);
  const Point block = find_point(row.blocks, uniform * total, [&](int64_t b) { return row.sums[b]; });
  const int64_t first = block.index * kVocabBlock, size = std::min(kVocabBlock, row.vocab - first);
  const float* weights = row.weights + first;
  const double mass = std::accumulate(weights, weights + size, 0.0);
  return first + find_point(size, block.rest * mass, [&](int64_t i) { return weights[i]; }).index;
}

// At least n tokens weigh as much; 0 where there are fewer blocks.
float nth_maximum(const Row& row, int64_t n) {
  if (n > row.blocks) return 0.0f;
  std::vector<float> maxima(row.maxima, row.maxima + row.blocks);
  std::nth_element(maxima.begin(), maxima.begin() + (n - 1), maxima.end(), std::greater<>());
  return maxima[n - 1];
}

// Every token that weighs at least `bound`, in the order of their ids.
std::vector<Candidate> gather(const Row& row, float bound) {
  std::vector<Candidate> found;
  for (int64_t b = 0; b < row.blocks; ++b) {
    if (!(row.maxima[b] >= bound)) continue;
    const int64_t end = std::min((b + 1) * kVocabBlock, row.vocab);
    for (int64_t id = b * kVocabBlock; id < end; ++id) {
      if (row.weights[id] >= bound) found.push_back({row.weights[id], id});
    }
  }
  return found;
}

// The weight with which the heaviest ones together reach `target`: half of what is in question is settled at a time.
float nucleus_edge(std::vector<float>& weights, double target) {
  auto begin = weights.begin(), end = weights.end();
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, std::greater<>());
    const double mass = std::accumulate(begin, middle, 0.0);
    if (mass >= target) {
      end = middle;
    } else {
      target -= mass;
      begin = middle;
    }
  }
  return *begin;
}

// The least weight that passes top_k and top_p, if these weights tell it: all of the row's from some bound up.
// `whole` is the mass of the row.
std::optional<float> find_floor(std::vector<float> weights, bool are_all, double whole, const Filter& filter) {
  if (weights.empty()) return 0.0f;
  const auto top_k = static_cast<size_t>(filter.top_k);
  if (top_k > 0 && top_k <= weights.size()) {
    const auto kth = weights.begin() + (top_k - 1);
    std::nth_element(weights.begin(), kth, weights.end(), std::greater<>());
    const float least = *kth;
    std::erase_if(weights, [&](float weight) { return weight < least; });
    if (filter.top_p >= 1.0) return least;
    are_all = true;
  } else if (are_all && filter.top_p >= 1.0) {
    return 0.0f;
  }
  if (!are_all && filter.top_k > 0) return std::nullopt;
  const double mass = std::accumulate(weights.begin(), weights.end(), 0.0);
  const double target = filter.top_p * (are_all ? mass : whole);
  if (!are_all && mass < target) return std::nullopt;
  return nucleus_edge(weights, target);
}

int64_t draw_from(const std::vector<Candidate>& candidates, float floor, double uniform) {
  const auto weight_at = [&](int64_t i) { return candidates[i].weight >= floor ? candidates[i].weight : 0.0f; };
  const auto count = static_cast<int64_t>(candidates.size());
  double mass = 0.0;
  for (int64_t i = 0; i < count; ++i) mass += weight_at(i);
  return count > 0 ? candidates[find_point(count, uniform * mass, weight_at).index].id : 0;
}

int64_t draw_filtered(const Row& row, const Filter& filter, bool has_min_p, double uniform) {
  constexpr int64_t kFirst = 64, kMore = 8;
  const double whole = std::accumulate(row.sums, row.sums + row.blocks, 0.0);
  for (int64_t n = filter.top_k > 0 ? filter.top_k : has_min_p ? row.blocks + 1 : kFirst;; n *= kMore) {
    const float bound = nth_maximum(row, n);
    const auto candidates = gather(row, std::max(bound, filter.least));
    std::vector<float> weights(candidates.size());
    std::transform(candidates.begin(), candidates.end(), weights.begin(), [](const Candidate& c) { return c.weight; });
    const auto floor = find_floor(std::move(weights), bound <= filter.least, whole, filter);
    if (floor) return draw_from(candidates, *floor, uniform);
  }
}

int64_t draw_token(const Row& row, int64_t top_k, double top_p, float min_p, double uniform) {
  if (top_k <= 0 && top_p >= 1.0 && min_p <= 0.0f) return draw_any(row, uniform);
  const Filter filter{std::min(top_k, row.vocab), top_p, std::max(min_p, std::numeric_limits<float>::min())};
  return draw_filtered(row, filter, min_p > 0.0f, uniform);
}

}  // namespace

void draw_tokens(const DrawTokens& args) {
  constexpr int64_t kPieceBlocks = 64;  // of the vocabulary, weighed by one thread at a time
  constexpr float kCoolest = 1e-5f;     // below, the answer is the likeliest token's, and the division would overflow
  const int64_t blocks = (args.vocab + kVocabBlock - 1) / kVocabBlock;
  const int64_t pieces = (blocks + kPieceBlocks - 1) / kPieceBlocks;
  const Scratch scratch(args.rows * blocks * 2 * sizeof(float));
  float *maxima = scratch.as<float>(), *sums = maxima + args.rows * blocks;
  with_isa([&](auto isa) {
    // AVX-512 machines do it in 256-bit vectors too: the logits come and go through memory.
    constexpr Isa kIsa = isa() == Isa::kAvx512 ? Isa::kAvx2 : isa();
    parallel_items(args.rows * pieces, [&](int64_t i) {
      const int64_t r = i / pieces, b = i % pieces * kPieceBlocks, first = b * kVocabBlock;
      const int64_t size = std::min(kPieceBlocks * kVocabBlock, args.vocab - first);
      weigh_blocks<kIsa>(args.logits + r * args.vocab + first, size, args.tops[r],
                         std::max(args.temperatures[r], kCoolest), maxima + r * blocks + b, sums + r * blocks + b);
    });
  });
  parallel_items(args.rows, [&](int64_t r) {
    const Row row{args.logits + r * args.vocab, args.vocab, maxima + r * blocks, sums + r * blocks, blocks};
    const bool has_numbers = std::isfinite(args.tops[r]);
    args.tokens[r] = has_numbers ? draw_token(row, args.top_k[r], args.top_p[r], args.min_p[r], args.uniforms[r]) : 0;
  });
}

}  // namespace quire
