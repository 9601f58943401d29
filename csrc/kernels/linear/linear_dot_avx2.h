// Runs of every format for AVX2: x is widened to float32 once, the weight as it is read. Include only from *_avx2.cpp.

#pragma once

#include "kernels/linear/linear.inl.h"
#include "kernels/simd/simd_avx2.h"

namespace quire {

// sums[i] += the sum of all lanes of a[i].
QUIRE_INLINE void add_lane_sums(float* sums, const __m256 (&a)[4]) {
  const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
  const __m128 lanes = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
  _mm_storeu_ps(sums, _mm_add_ps(_mm_loadu_ps(sums), lanes));
}

template <class T>
struct FloatDotAvx2 {
  using V = Simd<Isa::kAvx2>;
  using X = float;
  using Acc = __m256;
  static constexpr int kOutputs = 4, kRows = 3;
  static constexpr bool kApart = true;  // as panel.h says of streams
  static QUIRE_INLINE Acc load_row(const X* p) { return _mm256_loadu_ps(p); }
  static QUIRE_INLINE Acc zero() { return _mm256_setzero_ps(); }
  static QUIRE_INLINE Acc dot(Acc acc, Acc a, Acc b) { return _mm256_fmadd_ps(b, a, acc); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[4]) { add_lane_sums(sums, acc); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[1]) { sums[0] += V::sum(acc[0]); }
};

template <class T>
struct DotOps<Isa::kAvx2, T> : FloatDotAvx2<T> {
  using V = Simd<Isa::kAvx2>;
  static constexpr int kStep = 8, kParts = 1;
  static QUIRE_INLINE void pack_step(const T* x, float* to) { V::store(to, V::load(x)); }
  static QUIRE_INLINE __m256 load(const T* p, int) { return V::load(p); }
  static QUIRE_INLINE __m256 load_first(const T* p, int n, int) { return V::load_first(p, n); }
};

// Sixteen elements are read together: the even ones are widened by a shift, the odd ones by a mask. Rows of x lie so
// too, eight even elements and then eight odd ones.
template <>
struct DotOps<Isa::kAvx2, BFloat16> : FloatDotAvx2<BFloat16> {
  static constexpr int kStep = 16, kParts = 2;
  static QUIRE_INLINE void pack_step(const BFloat16* x, float* to) {
    _mm256_storeu_ps(to, load(x, 0));
    _mm256_storeu_ps(to + 8, load(x, 1));
  }
  static QUIRE_INLINE __m256 load(const BFloat16* p, int is_odd) {
    const __m256i pairs = _mm256_loadu_si256((const __m256i*)p);
    return _mm256_castsi256_ps(is_odd ? _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000)))
                                      : _mm256_slli_epi32(pairs, 16));
  }
  static QUIRE_INLINE __m256 load_first(const BFloat16* p, int n, int is_odd) {
    alignas(32) BFloat16 copy[16] = {};
    std::copy_n(p, n, copy);
    return load(copy, is_odd);
  }
};

}  // namespace quire
