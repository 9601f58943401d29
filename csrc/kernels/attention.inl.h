// One tile of attention.h over one instruction set.

#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/simd.h"

namespace quire {

// The rows of a tile while it walks over the blocks: row r is token r / group and head kv_head * group + r % group.
struct TileState {
  int64_t num_rows;
  float* q;        // [rows, head_dim], scaled
  float* out;      // [rows, head_dim], not yet divided by total
  float* largest;  // [rows] the largest score so far
  float* total;    // [rows] the sum of exp(score - largest)
  float* scores;   // [block_size]
};

template <Isa I, class T>
QUIRE_INLINE float dot(const float* a, const T* b, int64_t size) {
  using V = Simd<I>;
  auto acc = V::zero();
  for_vectors<I>(size, [&](int64_t i, auto n) { acc = V::fma(load_n<I>(a + i, n), load_n<I>(b + i, n), acc); });
  return V::sum(acc);
}

template <Isa I, class T>
QUIRE_INLINE void add_scaled(float* out, const T* x, float factor, int64_t size) {
  using V = Simd<I>;
  for_vectors<I>(size, [&](int64_t i, auto n) {
    store_n<I>(out + i, V::fma(V::set(factor), load_n<I>(x + i, n), load_n<I>(out + i, n)), n);
  });
}

template <Isa I>
QUIRE_INLINE void scale_by(float* out, float factor, int64_t size) {
  using V = Simd<I>;
  for_vectors<I>(size,
                 [&](int64_t i, auto n) { store_n<I>(out + i, V::mul(V::set(factor), load_n<I>(out + i, n)), n); });
}

// exp(scores - largest) in place; returns their sum.
template <Isa I>
QUIRE_INLINE float exponentials(float* scores, float largest, int64_t size) {
  using V = Simd<I>;
  float total = 0.0f;
  for_vectors<I>(size, [&](int64_t i, auto n) {
    store_n<I>(scores + i, V::exp(V::sub(load_n<I>(scores + i, n), V::set(largest))), n);
  });
  for (int64_t i = 0; i < size; ++i) total += scores[i];
  return total;
}

// Row r sees the keys [from, to) of one block.
template <Isa I, class T>
QUIRE_INLINE void attend_block(TileState& s, int64_t r, const T* k, const T* v, int64_t from, int64_t to, int64_t dim) {
  float largest = s.largest[r];
  for (int64_t j = from; j < to; ++j) {
    s.scores[j] = dot<I>(s.q + r * dim, k + j * dim, dim);
    largest = std::max(largest, s.scores[j]);
  }
  const float shrink = std::exp(s.largest[r] - largest);
  if (shrink != 1.0f) scale_by<I>(s.out + r * dim, shrink, dim);
  s.total[r] = s.total[r] * shrink + exponentials<I>(s.scores + from, largest, to - from);
  s.largest[r] = largest;
  for (int64_t j = from; j < to; ++j) add_scaled<I>(s.out + r * dim, v + j * dim, s.scores[j], dim);
}

template <Isa I, class T>
QUIRE_INLINE void begin_tile(const PagedAttention& args, const AttentionTile& tile, TileState& s) {
  using V = Simd<I>;
  const int64_t group = args.num_heads / args.num_kv_heads, dim = args.head_dim;
  for (int64_t r = 0; r < s.num_rows; ++r) {
    const T* q = static_cast<const T*>(args.q) + (tile.first_token + r / group) * args.q_stride +
                 (tile.kv_head * group + r % group) * dim;
    for_vectors<I>(dim, [&](int64_t i, auto n) {
      store_n<I>(s.q + r * dim + i, V::mul(load_n<I>(q + i, n), V::set(args.scale)), n);
    });
    s.largest[r] = -std::numeric_limits<float>::infinity();
  }
  std::memset(s.out, 0, s.num_rows * dim * sizeof(float));
  std::memset(s.total, 0, s.num_rows * sizeof(float));
}

template <Isa I, class T>
QUIRE_INLINE void end_tile(const PagedAttention& args, const AttentionTile& tile, const TileState& s) {
  using V = Simd<I>;
  const int64_t group = args.num_heads / args.num_kv_heads, dim = args.head_dim;
  for (int64_t r = 0; r < s.num_rows; ++r) {
    T* out = static_cast<T*>(args.out) +
             ((tile.first_token + r / group) * args.num_heads + tile.kv_head * group + r % group) * dim;
    const auto factor = V::set(1.0f / s.total[r]);
    for_vectors<I>(
        dim, [&](int64_t i, auto n) { store_n<I>(out + i, V::mul(load_n<I>(s.out + r * dim + i, n), factor), n); });
  }
}

template <Isa I>
void attend_tile(const PagedAttention& args, const AttentionTile& tile, float* scratch) {
  const int64_t group = args.num_heads / args.num_kv_heads, dim = args.head_dim, size = args.block_size;
  const int64_t rows = tile.num_tokens * group;
  TileState s{rows,
              scratch,
              scratch + rows * dim,
              scratch + 2 * rows * dim,
              scratch + 2 * rows * dim + rows,
              scratch + 2 * rows * dim + 2 * rows};
  // Positions of the tile's first and last query, and of the first key that any of them sees.
  const int64_t end = args.query_starts[tile.sequence + 1];
  const int64_t first = args.context_lens[tile.sequence] - (end - tile.first_token), last = first + tile.num_tokens - 1;
  const int64_t oldest = first - std::min(first, args.window - 1);
  const int32_t* table = args.block_tables + tile.sequence * args.table_width;
  with_dtype(args.dtype, [&]<class T>(T) {
    begin_tile<I, T>(args, tile, s);
    for (int64_t block = oldest / size; block <= last / size; ++block) {
      const int64_t head_offset = tile.kv_head * size * dim;
      const T* k = reinterpret_cast<const T*>(args.k_cache + table[block] * args.k_block_stride) + head_offset;
      const T* v = reinterpret_cast<const T*>(args.v_cache + table[block] * args.v_block_stride) + head_offset;
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t p = first + r / group;
        const int64_t from = std::max<int64_t>(p - std::min(p, args.window - 1) - block * size, 0);
        const int64_t to = std::min(p + 1 - block * size, size);
        if (from < to) attend_block<I>(s, r, k, v, from, to, dim);
      }
    }
    end_tile<I, T>(args, tile, s);
  });
}

}  // namespace quire
