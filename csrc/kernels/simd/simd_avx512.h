// Simd<kAvx512>: 16 floats. Include only from *_avx512.cpp.

#pragma once

#include <immintrin.h>

#include "kernels/simd/simd.h"

namespace quire {

// Sixteen rows of sixteen units become sixteen columns: out[c] holds unit c of every row.
QUIRE_INLINE void transpose_16x16(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 16; i += 8) {
    for (int j = 0; j < 4; ++j) {
      t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
      t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
    }
  }
  for (int j = 0; j < 4; ++j) {
    r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
    r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    r[j + 4] = _mm512_shuffle_i32x4(t[j + 4], t[j + 12], 0x88);
    r[j + 12] = _mm512_shuffle_i32x4(t[j + 4], t[j + 12], 0xdd);
  }
}

template <>
struct Simd<Isa::kAvx512> {
  static constexpr int kWidth = 16;
  using F = __m512;

  static QUIRE_INLINE F set(float x) { return _mm512_set1_ps(x); }
  static QUIRE_INLINE F zero() { return _mm512_setzero_ps(); }
  static QUIRE_INLINE __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }

  static QUIRE_INLINE F widen_bf16(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
  static QUIRE_INLINE __m256i narrow_bf16(F a) { return (__m256i)_mm512_cvtneps_pbh(a); }
  static QUIRE_INLINE __m256i narrow_half(F a) { return _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT); }

  static QUIRE_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  static QUIRE_INLINE F load(const BFloat16* p) { return widen_bf16(_mm256_loadu_si256((const __m256i*)p)); }
  static QUIRE_INLINE F load(const Half* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
  static QUIRE_INLINE F load(const int8_t* p) { return load_first(p, kWidth); }
  static QUIRE_INLINE F load_first(const int8_t* p, int n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
  }
  static QUIRE_INLINE F load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static QUIRE_INLINE F load_first(const BFloat16* p, int n) {
    return widen_bf16(_mm256_maskz_loadu_epi16(first(n), p));
  }
  static QUIRE_INLINE F load_first(const Half* p, int n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
  }

  static QUIRE_INLINE void store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static QUIRE_INLINE void store(BFloat16* p, F a) { _mm256_storeu_si256((__m256i*)p, narrow_bf16(a)); }
  static QUIRE_INLINE void store(Half* p, F a) { _mm256_storeu_si256((__m256i*)p, narrow_half(a)); }
  static QUIRE_INLINE void store_first(float* p, F a, int n) { _mm512_mask_storeu_ps(p, first(n), a); }
  static QUIRE_INLINE void store_first(BFloat16* p, F a, int n) {
    _mm256_mask_storeu_epi16(p, first(n), narrow_bf16(a));
  }
  static QUIRE_INLINE void store_first(Half* p, F a, int n) { _mm256_mask_storeu_epi16(p, first(n), narrow_half(a)); }

  static QUIRE_INLINE void store_int8(int8_t* p, F a, int n) {
    _mm_mask_storeu_epi8(p, first(n), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a)));
  }

  template <class T>
  static QUIRE_INLINE F round_to(F a) {
    if constexpr (std::is_same_v<T, BFloat16>) return widen_bf16(narrow_bf16(a));
    if constexpr (std::is_same_v<T, Half>) return _mm512_cvtph_ps(narrow_half(a));
    return a;
  }

  static QUIRE_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  static QUIRE_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static QUIRE_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static QUIRE_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  static QUIRE_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }
  static QUIRE_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static QUIRE_INLINE void transpose(F (&rows)[16]) {
    __m512i units[16];
    for (int i = 0; i < 16; ++i) units[i] = _mm512_castps_si512(rows[i]);
    transpose_16x16(units);
    for (int i = 0; i < 16; ++i) rows[i] = _mm512_castsi512_ps(units[i]);
  }
  static QUIRE_INLINE float sum(F a) { return _mm512_reduce_add_ps(a); }
  static QUIRE_INLINE float max_of(F a) { return _mm512_reduce_max_ps(a); }

  // exp(x) = 2^n · e^r with r = x - n·ln 2 in two parts, and Cephes' polynomial for e^r on |r| <= ln 2 / 2.
  static QUIRE_INLINE F exp(F x) {
    x = _mm512_max_ps(_mm512_min_ps(x, set(88.72f)), set(-104.0f));
    const F n = _mm512_roundscale_ps(_mm512_mul_ps(x, set(1.44269504f)), _MM_FROUND_TO_NEAREST_INT);
    F r = _mm512_fnmadd_ps(n, set(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, set(-2.12194440e-4f), r);
    F p = set(1.9875691500e-4f);
    p = fma(p, r, set(1.3981999507e-3f));
    p = fma(p, r, set(8.3334519073e-3f));
    p = fma(p, r, set(4.1665795894e-2f));
    p = fma(p, r, set(1.6666665459e-1f));
    p = fma(p, r, set(5.0000001201e-1f));
    p = fma(p, _mm512_mul_ps(r, r), _mm512_add_ps(r, set(1.0f)));
    return _mm512_scalef_ps(p, n);
  }
};

}  // namespace quire
