// Runs of bfloat16 for AVX512-BF16, and of the other formats in 512-bit vectors. Include only from *_avx512.cpp.

#pragma once

#include "kernels/linear/linear.inl.h"
#include "kernels/simd/panel_avx512.h"

namespace quire {

// sums[i] += the sum of all lanes of a[i].
QUIRE_INLINE void add_lane_sums(float* sums, const __m512 (&a)[8]) {
  __m512 b[4], c[2];
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_add_ps(_mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
  }
  for (int i = 0; i < 2; ++i) {
    const __m512d even = _mm512_castps_pd(b[2 * i]), odd = _mm512_castps_pd(b[2 * i + 1]);
    c[i] =
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)), _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
  }
  __m512 d = _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
  d = _mm512_add_ps(_mm512_shuffle_f32x4(d, d, 0x88), _mm512_shuffle_f32x4(d, d, 0xdd));
  _mm256_storeu_ps(sums, _mm256_add_ps(_mm256_loadu_ps(sums), _mm512_castps512_ps256(d)));
}

template <class T>
struct DotOps<Isa::kAvx512, T> {
  using V = Simd<Isa::kAvx512>;
  using X = float;
  using Acc = __m512;
  static constexpr int kStep = 16, kParts = 1, kOutputs = 8, kRows = 3;
  static constexpr bool kApart = false;
  static QUIRE_INLINE void pack_step(const T* x, X* to) { V::store(to, V::load(x)); }
  static QUIRE_INLINE Acc load_row(const X* p) { return _mm512_loadu_ps(p); }
  static QUIRE_INLINE Acc load(const T* p, int) { return V::load(p); }
  static QUIRE_INLINE Acc load_first(const T* p, int n, int) { return V::load_first(p, n); }
  static QUIRE_INLINE Acc zero() { return _mm512_setzero_ps(); }
  static QUIRE_INLINE Acc dot(Acc acc, Acc a, Acc b) { return V::fma(a, b, acc); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[8]) { add_lane_sums(sums, acc); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[1]) { sums[0] += V::sum(acc[0]); }
};

template <>
struct DotOps<Isa::kAvx512, BFloat16> {
  using X = BFloat16;
  using Acc = __m512;
  static constexpr int kStep = 32, kParts = 1, kOutputs = 8, kRows = 3;
  static constexpr bool kApart = false;
  static QUIRE_INLINE void pack_step(const BFloat16* x, X* to) { _mm512_storeu_si512(to, load(x, 0)); }
  static QUIRE_INLINE __m512i load_row(const X* p) { return _mm512_loadu_si512(p); }
  static QUIRE_INLINE __m512i load(const BFloat16* p, int) { return _mm512_loadu_si512(p); }
  static QUIRE_INLINE __m512i load_first(const BFloat16* p, int n, int) {
    return _mm512_maskz_loadu_epi16(n >= 32 ? ~0u : (1u << n) - 1, p);
  }
  static QUIRE_INLINE Acc zero() { return _mm512_setzero_ps(); }
  static QUIRE_INLINE Acc dot(Acc acc, __m512i a, __m512i b) { return dot_bf16(acc, a, b); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[8]) { add_lane_sums(sums, acc); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[1]) { sums[0] += _mm512_reduce_add_ps(acc[0]); }
};

}  // namespace quire
