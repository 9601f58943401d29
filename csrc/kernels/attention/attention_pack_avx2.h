// Attention over int8 for AVX2, where few rows read it: in whole numbers, since to widen a byte to float costs as much
// as to multiply it.
//
// A query and a panel's weights of a row become words, of which the largest is 32767: what they lose is a hundredth of
// what keys and values lost when they became bytes. Bytes count from -128 here, so that they widen by zeros beside
// them; what that adds is known before.

#pragma once

#include <new>

#include "kernels/attention/attention_pack.inl.h"
#include "kernels/linear/quantized_rows.inl.h"
#include "kernels/simd/simd_avx2.h"

namespace quire {

// 16 words of the nearest whole numbers to factor · p, and their sums.
QUIRE_INLINE __m256i round_to_words(const float* p, __m256 factor, __m256i& sums) {
  const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p), factor));
  const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(p + 8), factor));
  sums = _mm256_add_epi32(sums, _mm256_add_epi32(low, high));
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
}

QUIRE_INLINE int32_t sum_of(__m256i a) {
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}

// kSize floats as words of one scale.
template <int64_t kSize>
struct WholeRow {
  alignas(32) int16_t word[kSize];
  float scale;    // of a word
  int32_t total;  // of all words

  QUIRE_INLINE void round(const float* from) {
    const float largest = largest_magnitude<Isa::kAvx2>(from, kSize);
    scale = largest / 32767.0f;
    const auto factor = _mm256_set1_ps(whole_factor(32767.0f, largest));
    __m256i sums = _mm256_setzero_si256();
    for (int64_t i = 0; i < kSize; i += 16) {
      _mm256_store_si256((__m256i*)(word + i), round_to_words(from + i, factor, sums));
    }
    total = sum_of(sums);
  }

  // Words in the order in which 32 bytes unpack.
  QUIRE_INLINE void unpack_order() {
    for (int64_t i = 0; i < kSize; i += 32) {
      const __m256i first = load(i), second = load(i + 16);
      _mm256_store_si256((__m256i*)(word + i), _mm256_permute2x128_si256(first, second, 0x20));
      _mm256_store_si256((__m256i*)(word + i + 16), _mm256_permute2x128_si256(first, second, 0x31));
    }
  }

  QUIRE_INLINE __m256i pair(int64_t i) const {
    int32_t both;
    std::memcpy(&both, word + i, sizeof(both));
    return _mm256_set1_epi32(both);
  }
  QUIRE_INLINE __m256i load(int64_t i) const { return _mm256_load_si256((const __m256i*)(word + i)); }
};

// T is a format of 16 bits: what words lose does not show in its results.
template <class T>
struct WholePacking : WidenedPacking<Isa::kAvx2, T, int8_t> {
  using Widened = WidenedPacking<Isa::kAvx2, T, int8_t>;
  using Rows = CacheRows<int8_t>;
  template <int64_t kDim>
  using Width = std::integral_constant<int64_t, kDim>;

  // A query is there both ways: floats for tiles of many rows, and words after them.
  static int64_t query_units(int64_t dim) {
    int64_t units = Widened::query_units(dim);
    with_head_dim(dim, [&]<class D>(D width) {
      if constexpr (!std::is_same_v<D, int64_t>) units += sizeof(WholeRow<width>) / sizeof(float);
    });
    return units;
  }

  static QUIRE_INLINE void pack_query(const T* q, int64_t dim, float* row) {
    Widened::pack_query(q, dim, row);
    with_head_dim(dim, [&]<class D>(D width) {
      if constexpr (!std::is_same_v<D, int64_t>) {
        auto* whole = new (row + width) WholeRow<width>;
        whole->round(row);
        whole->unpack_order();
      }
    });
  }

  static QUIRE_INLINE void score_keys(const float* q, int64_t rows, const Rows& keys, const Rows& next, int64_t dim,
                                      float* scores) {
    Widened::score_keys(q, rows, keys, next, dim, scores);
  }

  template <int64_t kDim>
  static QUIRE_INLINE void score_keys(const float* q, int64_t rows, const Rows& keys, const Rows& next, Width<kDim> dim,
                                      float* scores) {
    for_row_tiles<kTileRows>(rows, [&](auto height, int64_t r) {
      const WholeRow<kDim>* query[height()];
      for (int i = 0; i < height(); ++i) query[i] = whole_query(q + (r + i) * query_units(dim), dim);
      for (int64_t j = 0; j < kKeyPanel; j += kTileKeys) {
        if (r == 0) prefetch_in_turns<kTileKeys>(next, j, dim);
        if (j < keys.count) score_tile<height()>(query, keys, j, dim, scores + r * kKeyPanel + j);
      }
    });
  }

  static QUIRE_INLINE void add_values(const float* weights, const float* shrink, int64_t rows, const Rows& values,
                                      const Rows& next, int64_t dim, float* out, int64_t out_width) {
    Widened::add_values(weights, shrink, rows, values, next, dim, out, out_width);
  }

  template <int64_t kDim>
  static QUIRE_INLINE void add_values(const float* weights, const float* shrink, int64_t rows, const Rows& values,
                                      const Rows& next, Width<kDim>, float* out, int64_t out_width) {
    for_row_tiles<kTileRows>(rows, [&](auto height, int64_t r) {
      WholeRow<kKeyPanel> whole[height()];
      for (int i = 0; i < height(); ++i) whole[i].round(weights + (r + i) * kKeyPanel);
      for (int64_t i = 0; i < kDim; i += kColumns) {
        const auto fetch = [&](int64_t group) __attribute__((always_inline)) {
          constexpr int64_t kShare = kColumns * kKeyPanel / (kDim * kGroups);
          const int64_t first = (i / kColumns * kGroups + group) * kShare;
          if (r == 0) prefetch_in_turns<kShare>(next, first, Width<kDim>{});
        };
        add_columns<height()>(whole, shrink + r, values, i, fetch, out + r * out_width + i, out_width);
      }
    });
  }

 private:
  template <int64_t kDim>
  static QUIRE_INLINE const WholeRow<kDim>* whole_query(const float* row, Width<kDim>) {
    return reinterpret_cast<const WholeRow<kDim>*>(row + kDim);
  }

  static constexpr int kTileRows = 2, kTileKeys = 4;
  static constexpr int64_t kColumns = 32, kGroupPairs = 4, kGroups = kKeyPanel / 2 / kGroupPairs;

  static QUIRE_INLINE __m256i load_flipped(const int8_t* p) {
    return _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)p), _mm256_set1_epi8(-128));
  }

  // Written out because GCC else adds in another order and keeps sums in memory.
  static QUIRE_INLINE __m256i dot(__m256i acc, __m256i a, __m256i b) {
    __m256i product;
    asm("vpmaddwd %2, %3, %1\n\tvpaddd %1, %0, %0" : "+x"(acc), "=&x"(product) : "x"(a), "x"(b));
    return acc;
  }

  // Asks for rows first, first + 1, … of those that will be read next, counted so that four runs take turns: a core
  // reads faster along several.
  template <int64_t kCount>
  static QUIRE_INLINE void prefetch_in_turns(const Rows& next, int64_t first, auto dim) {
    constexpr int64_t kRuns = 4;
#pragma GCC unroll 8
    for (int64_t n = first; n < first + kCount; ++n) next.prefetch(n % kRuns * (kKeyPanel / kRuns) + n / kRuns, dim);
  }

  // Scores of kRows queries and keys j .. j + 3.
  template <int kRows, int64_t kDim>
  static QUIRE_INLINE void score_tile(const WholeRow<kDim>* const (&query)[kRows], const Rows& keys, int64_t j,
                                      Width<kDim>, float* scores) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i acc[kRows][kTileKeys];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) acc[r][k] = zero;
    }
    for (int64_t i = 0; i < kDim; i += 32) {
      __m256i low[kRows], high[kRows];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) low[r] = query[r]->load(i), high[r] = query[r]->load(i + 16);
#pragma GCC unroll 8
      for (int k = 0; k < kTileKeys; ++k) {
        const __m256i bytes = load_flipped(keys.row[j + k] + i);
        const __m256i first = _mm256_unpacklo_epi8(bytes, zero), second = _mm256_unpackhi_epi8(bytes, zero);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          acc[r][k] = dot(dot(acc[r][k], low[r], first), high[r], second);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i sums =
          _mm256_hadd_epi32(_mm256_hadd_epi32(acc[r][0], acc[r][1]), _mm256_hadd_epi32(acc[r][2], acc[r][3]));
      __m128i whole = _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
      whole = _mm_sub_epi32(whole, _mm_set1_epi32(128 * query[r]->total));
      _mm_storeu_ps(scores + r * kKeyPanel, _mm_mul_ps(_mm_cvtepi32_ps(whole), _mm_set1_ps(query[r]->scale)));
    }
  }

  // 32 columns of kRows rows: out = out · shrink + Σ weight · value.
  template <int kRows>
  static QUIRE_INLINE void add_columns(const WholeRow<kKeyPanel> (&weights)[kRows], const float* shrink,
                                       const Rows& values, int64_t column, auto&& fetch, float* out,
                                       int64_t out_width) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i acc[kRows][4];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int n = 0; n < 4; ++n) acc[r][n] = _mm256_set1_epi32(-128 * weights[r].total);
    }
    for (int64_t group = 0; group < kGroups; ++group) {
      fetch(group);
#pragma GCC unroll 8
      for (int64_t j = group * kGroupPairs * 2; j < (group + 1) * kGroupPairs * 2; j += 2) {
        const __m256i even = load_flipped(values.row[j] + column), odd = load_flipped(values.row[j + 1] + column);
        const __m256i low = _mm256_unpacklo_epi8(even, odd), high = _mm256_unpackhi_epi8(even, odd);
        const __m256i words[4] = {_mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
                                  _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const __m256i weight = weights[r].pair(j);
#pragma GCC unroll 8
          for (int n = 0; n < 4; ++n) acc[r][n] = dot(acc[r][n], weight, words[n]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m256i in_order[4] = {
          _mm256_permute2x128_si256(acc[r][0], acc[r][1], 0x20), _mm256_permute2x128_si256(acc[r][2], acc[r][3], 0x20),
          _mm256_permute2x128_si256(acc[r][0], acc[r][1], 0x31), _mm256_permute2x128_si256(acc[r][2], acc[r][3], 0x31)};
      for (int n = 0; n < 4; ++n) {
        float* to = out + r * out_width + n * 8;
        const __m256 kept = _mm256_mul_ps(_mm256_loadu_ps(to), _mm256_set1_ps(shrink[r]));
        _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(in_order[n]), _mm256_set1_ps(weights[r].scale), kept));
      }
    }
  }
};

template <>
struct AttentionPacking<Isa::kAvx2, BFloat16, int8_t> : WholePacking<BFloat16> {};
template <>
struct AttentionPacking<Isa::kAvx2, Half, int8_t> : WholePacking<Half> {};

}  // namespace quire
