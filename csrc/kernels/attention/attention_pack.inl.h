// How attention multiplies queries, keys and values of one format: packed into panels (panel.h) where a tile has rows
// enough to pay for it, straight from the cache where it has few.
//
// The general form widens every format to float. `keys` are the rows of up to 64 keys (or values) of one head; `dim` is
// the head's width, an int64_t or, for the usual widths, a constant, so that the loops over it unroll.

#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/attention/attention_plan.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"

namespace quire {

// Rows of one head in the cache, and the rows that will be read next. Blocks lie anywhere, so the hardware cannot
// foresee them: whoever reads row j asks for row j of what comes next.
template <class C>
struct CacheRows {
  static constexpr bool kHasScales = std::is_same_v<C, int8_t>;

  const C* row[kKeyPanel];  // beyond count, the last one's again, where they are not packed
  int64_t count = 0;
  float scale[kHasScales ? kKeyPanel : 1];  // of each row

  QUIRE_INLINE void prefetch(int64_t j, auto dim) const {
    if (j >= count) return;
    const int64_t size = kHasScales ? dim + static_cast<int64_t>(sizeof(float)) : dim;
    for (int64_t i = 0; i < size; i += 64 / static_cast<int64_t>(sizeof(C))) __builtin_prefetch(row[j] + i, 0, 3);
  }

  QUIRE_INLINE void read_scales(int64_t dim) {
    if constexpr (kHasScales) {
      for (int64_t j = 0; j < kKeyPanel; ++j) std::memcpy(&scale[j], row[j] + dim, sizeof(float));
    }
  }
};

// f(dim) with dim a constant where it is a usual one.
template <class F>
QUIRE_INLINE void with_head_dim(int64_t dim, F&& f) {
  if (dim == 128) return f(std::integral_constant<int64_t, 128>{});
  if (dim == 64) return f(std::integral_constant<int64_t, 64>{});
  f(dim);
}

template <Isa I, class T, class C>
struct WidenedPacking {
  using V = Simd<I>;
  using Ops = PanelOps<I, float>;

  // Units of a query row, whole vectors.
  static int64_t query_units(int64_t dim) { return (dim + V::kWidth - 1) / V::kWidth * V::kWidth; }

  static QUIRE_INLINE void pack_query(const T* q, int64_t dim, float* row) {
    for_vectors<I>(dim, [&](int64_t i, auto n) { store_n<I>(row + i, load_n<I>(q + i, n), n); });
  }

  // panel[i][j] = element i of key j
  static QUIRE_INLINE void pack_keys(const CacheRows<C>& keys, const CacheRows<C>& next, auto dim, float* panel) {
    for (int64_t j = 0; j < kPanelColumns; j += V::kWidth) {
      for (int k = 0; k < V::kWidth; ++k) next.prefetch(j + k, dim);
      for_vectors<I>(dim, [&](int64_t i, auto n) {
        typename V::F square[V::kWidth];
        for (int k = 0; k < V::kWidth; ++k) {
          square[k] = j + k < keys.count ? load_n<I>(keys.row[j + k] + i, n) : V::zero();
        }
        V::transpose(square);
        for (int c = 0; c < n; ++c) V::store(panel + (i + c) * kPanelColumns + j, square[c]);
      });
    }
  }

  // panels[i / 64][j][i % 64] = element i of value j
  static QUIRE_INLINE void pack_values(const CacheRows<C>& values, const CacheRows<C>& next, auto dim, float* panels) {
    for (int64_t j = 0; j < values.count; ++j) {
      next.prefetch(j, dim);
      for_vectors<I>(dim, [&](int64_t i, auto n) {
        float* to = panels + (i / kPanelColumns * kKeyPanel + j) * kPanelColumns + i % kPanelColumns;
        V::store(to, load_n<I>(values.row[j] + i, n));
      });
    }
  }

  // scores[r][j] = q[r] · key j, without packing: a few keys are widened once for two rows.
  static QUIRE_INLINE void score_keys(const float* q, int64_t rows, const CacheRows<C>& keys, const CacheRows<C>& next,
                                      auto dim, float* scores) {
    for_key_tiles(keys, next, dim, [&](int64_t j, int64_t apart, const C* const(&row)[kTileKeys]) {
      for_row_tiles<kTileRows>(rows, [&](auto height, int64_t r) {
        score_tile<height()>(q + r * query_units(dim), row, dim, scores + r * kKeyPanel + j, apart);
      });
    });
  }

  // out[r] = out[r] · shrink[r] + Σ weights[r][j] · value j, without packing: a few values are widened once for two
  // rows.
  static QUIRE_INLINE void add_values(const float* weights, const float* shrink, int64_t rows,
                                      const CacheRows<C>& values, const CacheRows<C>& next, auto dim, float* out,
                                      int64_t out_width) {
    for (int64_t r = 0; r < rows; ++r) {
      for_vectors<I>(dim, [&](int64_t i, auto) {
        V::store(out + r * out_width + i, V::mul(V::load(out + r * out_width + i), V::set(shrink[r])));
      });
    }
    for_key_tiles(values, next, dim, [&](int64_t j, int64_t apart, const C* const(&row)[kTileKeys]) {
      for_row_tiles<kTileRows>(rows, [&](auto height, int64_t r) {
        add_tile<height()>(weights + r * kKeyPanel + j, apart, row, dim, out + r * out_width, out_width);
      });
    });
  }

 private:
  static constexpr int kTileRows = 2, kTileKeys = 4;
  static_assert(kKeyPanel % kTileKeys == 0);

  // body(j, apart, rows of keys j, j + apart, …). The keys of a tile are a quarter of the panel apart, in blocks of
  // their own mostly: a core reads faster along four runs.
  static QUIRE_INLINE void for_key_tiles(const CacheRows<C>& keys, const CacheRows<C>& next, auto dim, auto&& body) {
    const int64_t apart = (keys.count + kTileKeys - 1) / kTileKeys;
    for (int64_t j = 0; j < apart; ++j) {
      const C* row[kTileKeys];
      for (int64_t k = 0; k < kTileKeys; ++k) {
        row[k] = keys.row[j + k * apart];
        next.prefetch(j + k * apart, dim);
      }
      body(j, apart, row);
    }
  }

  template <int kRows>
  static QUIRE_INLINE void score_tile(const float* q, const C* const (&row)[kTileKeys], auto dim, float* scores,
                                      int64_t apart) {
    typename V::F acc[kRows][kTileKeys];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) acc[r][k] = V::zero();
    }
    for_vectors<I>(dim, [&](int64_t i, auto n) __attribute__((always_inline)) {
      typename V::F key[kTileKeys];
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) key[k] = load_n<I>(row[k] + i, n);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const auto query = load_n<I>(q + r * query_units(dim) + i, n);
#pragma GCC unroll 8
        for (int k = 0; k < kTileKeys; ++k) acc[r][k] = V::fma(query, key[k], acc[r][k]);
      }
    });
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) scores[r * kKeyPanel + k * apart] = V::sum(acc[r][k]);
    }
  }

  // The weights of keys that do not exist are 0.
  template <int kRows>
  static QUIRE_INLINE void add_tile(const float* weights, int64_t apart, const C* const (&row)[kTileKeys], auto dim,
                                    float* out, int64_t out_width) {
    typename V::F weight[kRows][kTileKeys];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) weight[r][k] = V::set(weights[r * kKeyPanel + k * apart]);
    }
    for_vectors<I>(dim, [&](int64_t i, auto n) __attribute__((always_inline)) {
      typename V::F value[kTileKeys];
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) value[k] = load_n<I>(row[k] + i, n);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        auto sum = V::load(out + r * out_width + i);
#pragma GCC unroll 8
        for (int k = 0; k < kTileKeys; ++k) sum = V::fma(weight[r][k], value[k], sum);
        V::store(out + r * out_width + i, sum);
      }
    });
  }
};

template <Isa I, class T, class C>
struct AttentionPacking : WidenedPacking<I, T, C> {};

}  // namespace quire
