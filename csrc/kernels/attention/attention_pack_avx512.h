// Attention over bfloat16 for AVX512-BF16: pairs of elements multiply in one instruction. Weights are rounded to
// bfloat16 for it, the sums are float32.

#pragma once

#include "kernels/attention/attention_pack.inl.h"
#include "kernels/simd/panel_avx512.h"

namespace quire {

template <class C>
struct AttentionPacking<Isa::kAvx512, BFloat16, C> {
  using Ops = PanelOps<Isa::kAvx512, BFloat16>;
  using Rows = CacheRows<C>;

  // 32 elements from element i on, zeros beyond dim.
  static QUIRE_INLINE __m512i load_row(const BFloat16* row, int64_t i, auto dim) {
    const int64_t left = dim - i;
    if (left >= 32) return _mm512_loadu_si512(row + i);
    return _mm512_maskz_loadu_epi16(left <= 0 ? 0u : (1u << left) - 1, row + i);
  }

  // int8 as bfloat16, which holds every integer up to 256.
  static QUIRE_INLINE __m512i load_row(const int8_t* row, int64_t i, auto dim) {
    const int64_t left = dim - i;
    const __mmask32 mask = left >= 32 ? ~__mmask32{0} : left <= 0 ? 0u : (1u << left) - 1;
    const __m512i words = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, row + i));
    const __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm512_castsi512_si256(words)));
    const __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(words, 1)));
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
  }

  static int64_t query_units(int64_t dim) { return (dim + 31) / 32 * 16; }

  static QUIRE_INLINE void pack_query(const BFloat16* q, int64_t dim, uint32_t* row) {
    for (int64_t i = 0; i < dim; i += 32) _mm512_storeu_si512(row + i / 2, load_row(q, i, dim));
  }

  static QUIRE_INLINE void pack_keys(const Rows& keys, const Rows& next, auto dim, uint32_t* panel) {
    const int64_t steps = (dim + 1) / 2;
    for (int64_t j = 0; j < kPanelColumns; j += 16) {
      for (int64_t s = 0; s < steps; s += 16) {
        __m512i square[16];
        for (int64_t i = 0; i < 16; ++i) {
          square[i] = j + i < keys.count ? load_row(keys.row[j + i], 2 * s, dim) : _mm512_setzero_si512();
          if (j + i < next.count) __builtin_prefetch(next.row[j + i] + 2 * s, 0, 3);
        }
        transpose_16x16(square);
        const int64_t height = std::min<int64_t>(16, steps - s);
        for (int64_t i = 0; i < height; ++i) _mm512_storeu_si512(panel + (s + i) * kPanelColumns + j, square[i]);
      }
    }
  }

  // Units (even, odd) of columns i..i+15 and i+16..i+31 of two value rows.
  static QUIRE_INLINE void interleave(__m512i even, __m512i odd, __m512i (&units)[2]) {
    alignas(64) static constexpr uint16_t kLow[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                      8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const __m512i low = _mm512_load_si512(kLow), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    units[0] = _mm512_permutex2var_epi16(even, low, odd);
    units[1] = _mm512_permutex2var_epi16(even, high, odd);
  }

  static QUIRE_INLINE void load_pair(const Rows& values, int64_t j, int64_t i, auto dim, __m512i (&units)[2]) {
    interleave(load_row(values.row[j], i, dim),
               j + 1 < values.count ? load_row(values.row[j + 1], i, dim) : _mm512_setzero_si512(), units);
  }

  static QUIRE_INLINE void pack_values(const Rows& values, const Rows& next, auto dim, uint32_t* panels) {
    for (int64_t j = 0; j < values.count; j += 2) {
      next.prefetch(j, dim);
      next.prefetch(j + 1, dim);
      for (int64_t i = 0; i < dim; i += 32) {
        __m512i units[2];
        load_pair(values, j, i, dim, units);
        uint32_t* to = panels + (i / kPanelColumns * (kKeyPanel / 2) + j / 2) * kPanelColumns + i % kPanelColumns;
        _mm512_storeu_si512(to, units[0]);
        _mm512_storeu_si512(to + 16, units[1]);
      }
    }
  }

  static QUIRE_INLINE void score_keys(const uint32_t* q, int64_t rows, const Rows& keys, const Rows& next, auto dim,
                                      float* scores) {
    for (int64_t j = 0; j < keys.count; ++j) next.prefetch(j, dim);
    for_row_groups(rows, [&](auto height, int64_t r) {
      for (int64_t j = 0; j < keys.count; j += 16 / height()) {
        score_group<height()>(q + r * query_units(dim), keys, j, dim, scores + r * kKeyPanel + j);
      }
    });
  }

  static QUIRE_INLINE void add_values(const uint32_t* weights, const float* shrink, int64_t rows, const Rows& values,
                                      const Rows& next, auto dim, float* out, int64_t out_width) {
    for (int64_t j = 0; j < values.count; ++j) next.prefetch(j, dim);
    for_row_groups(rows, [&](auto height, int64_t r) {
      for (int64_t i = 0; i < dim; i += 64) {
        add_columns<height()>(weights + r * (kKeyPanel / 2), shrink + r, values, i, dim, out + r * out_width,
                              out_width);
      }
    });
  }

 private:
  // body(height, first) over rows, four, two or one at a time.
  template <class Body>
  static QUIRE_INLINE void for_row_groups(int64_t rows, Body&& body) {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) body(std::integral_constant<int, 4>{}, r);
    if (r + 2 <= rows) {
      body(std::integral_constant<int, 2>{}, r);
      r += 2;
    }
    if (r < rows) body(std::integral_constant<int, 1>{}, r);
  }

  // scores[r][i] = q[r] · key j + i for kRows rows and as many keys as sixteen sums leave room for.
  template <int kRows>
  static QUIRE_INLINE void score_group(const uint32_t* q, const Rows& keys, int64_t j, auto dim, float* scores) {
    constexpr int kKeys = 16 / kRows;
    const int64_t units = query_units(dim), last = keys.count - 1;
    __m512 acc[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) acc[i] = _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int i = 0; i < kKeys; ++i) {
      const C* key = keys.row[std::min(j + i, last)];
      for (int64_t c = 0; c < dim; c += 32) {
        const __m512i pairs = load_row(key, c, dim);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          __m512& sum = acc[r * kKeys + i];
          sum = Ops::dot(sum, _mm512_loadu_si512(q + r * units + c / 2), pairs);
        }
      }
    }
    alignas(64) float sums[16];
    _mm512_store_ps(sums, sum_each(acc));
    for (int r = 0; r < kRows; ++r) std::copy_n(sums + r * kKeys, kKeys, scores + r * kKeyPanel);
  }

  // Columns i..i+63 of kRows rows of out.
  template <int kRows>
  static QUIRE_INLINE void add_columns(const uint32_t* weights, const float* shrink, const Rows& values, int64_t i,
                                       auto dim, float* out, int64_t out_width) {
    __m512 acc[kRows][4];
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < 4; ++n) {
        acc[r][n] = _mm512_mul_ps(_mm512_loadu_ps(out + r * out_width + i + n * 16), _mm512_set1_ps(shrink[r]));
      }
    }
    for (int64_t j = 0; j < values.count; j += 2) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        __m512i units[2];
        load_pair(values, j, i + 32 * half, dim, units);
        for (int r = 0; r < kRows; ++r) {
          const __m512i weight = Ops::broadcast(weights + r * (kKeyPanel / 2) + j / 2);
          acc[r][2 * half] = Ops::dot(acc[r][2 * half], weight, units[0]);
          acc[r][2 * half + 1] = Ops::dot(acc[r][2 * half + 1], weight, units[1]);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int n = 0; n < 4; ++n) _mm512_storeu_ps(out + r * out_width + i + n * 16, acc[r][n]);
    }
  }
};

}  // namespace quire
