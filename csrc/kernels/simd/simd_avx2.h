// Simd<kAvx2>: 8 floats, with FMA and F16C. Include only from *_avx2.cpp.

#pragma once

#include <immintrin.h>

#include "kernels/simd/simd.h"

namespace quire {

template <>
struct Simd<Isa::kAvx2> {
  static constexpr int kWidth = 8;
  using F = __m256;

  static QUIRE_INLINE F set(float x) { return _mm256_set1_ps(x); }
  static QUIRE_INLINE F zero() { return _mm256_setzero_ps(); }

  static QUIRE_INLINE F widen_bf16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  // The upper half of each lane is a as bfloat16.
  static QUIRE_INLINE __m256i round_bf16(F a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), is_nan);
  }
  static QUIRE_INLINE __m128i narrow_bf16(F a) {
    const __m256i top = _mm256_srli_epi32(round_bf16(a), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
  }
  static QUIRE_INLINE __m128i narrow_half(F a) { return _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT); }

  static QUIRE_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
  static QUIRE_INLINE F load(const BFloat16* p) { return widen_bf16(_mm_loadu_si128((const __m128i*)p)); }
  static QUIRE_INLINE F load(const Half* p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)); }
  static QUIRE_INLINE F load(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)));
  }
  template <class T>
  static QUIRE_INLINE F load_first(const T* p, int n) {
    alignas(32) T copy[kWidth] = {};
    for (int i = 0; i < n; ++i) copy[i] = p[i];
    return load(copy);
  }

  static QUIRE_INLINE void store(float* p, F a) { _mm256_storeu_ps(p, a); }
  static QUIRE_INLINE void store(BFloat16* p, F a) { _mm_storeu_si128((__m128i*)p, narrow_bf16(a)); }
  static QUIRE_INLINE void store(Half* p, F a) { _mm_storeu_si128((__m128i*)p, narrow_half(a)); }
  template <class T>
  static QUIRE_INLINE void store_first(T* p, F a, int n) {
    alignas(32) T copy[kWidth];
    store(copy, a);
    for (int i = 0; i < n; ++i) p[i] = copy[i];
  }

  static QUIRE_INLINE void store_int8(int8_t* p, F a, int n) {
    const __m256i whole = _mm256_cvtps_epi32(a);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    alignas(16) int8_t copy[16];
    _mm_store_si128((__m128i*)copy, _mm_packs_epi16(words, words));
    for (int i = 0; i < n; ++i) p[i] = copy[i];
  }

  template <class T>
  static QUIRE_INLINE F round_to(F a) {
    if constexpr (std::is_same_v<T, BFloat16>) {
      return _mm256_castsi256_ps(_mm256_and_si256(round_bf16(a), _mm256_set1_epi32(static_cast<int>(0xffff0000))));
    }
    if constexpr (std::is_same_v<T, Half>) return _mm256_cvtph_ps(narrow_half(a));
    return a;
  }

  static QUIRE_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  static QUIRE_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static QUIRE_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static QUIRE_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
  static QUIRE_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
  static QUIRE_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static QUIRE_INLINE void transpose(F (&rows)[8]) {
    F pairs[8];
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    F fours[8];
    for (int i = 0; i < 8; i += 4) {
      for (int j = 0; j < 2; ++j) {
        fours[i + 2 * j] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0x44);
        fours[i + 2 * j + 1] = _mm256_shuffle_ps(pairs[i + j], pairs[i + j + 2], 0xee);
      }
    }
    for (int i = 0; i < 4; ++i) {
      rows[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
      rows[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
  }
  static QUIRE_INLINE float sum(F a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  static QUIRE_INLINE float max_of(F a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }

  // As in simd_avx512.h; 2^n is made in two halves, so that results near the edge of the range stay right.
  static QUIRE_INLINE F exp(F x) {
    x = _mm256_max_ps(_mm256_min_ps(x, set(88.72f)), set(-104.0f));
    const F n = _mm256_round_ps(_mm256_mul_ps(x, set(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    F r = _mm256_fnmadd_ps(n, set(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, set(-2.12194440e-4f), r);
    F p = set(1.9875691500e-4f);
    p = fma(p, r, set(1.3981999507e-3f));
    p = fma(p, r, set(8.3334519073e-3f));
    p = fma(p, r, set(4.1665795894e-2f));
    p = fma(p, r, set(1.6666665459e-1f));
    p = fma(p, r, set(5.0000001201e-1f));
    p = fma(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, set(1.0f)));
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(p, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
  }

 private:
  static QUIRE_INLINE F power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace quire
