// Panels of bytes for AVX2, widened to 16 bits because its byte products saturate. Include only from *_avx2.cpp.

#pragma once

#include "kernels/panel.h"
#include "kernels/simd_avx2.h"

namespace quire {

template <>
struct PanelOps<Isa::kAvx2, int8_t> {
  using V = Simd<Isa::kAvx2>;
  using Unit = uint32_t;
  using Acc = __m256i;
  static constexpr int kDepth = 4;
  static QUIRE_INLINE Acc set(int32_t x) { return _mm256_set1_epi32(x); }
  static QUIRE_INLINE __m256 to_float(Acc a) { return _mm256_cvtepi32_ps(a); }
  static QUIRE_INLINE __m256i load(const Unit* p) { return _mm256_loadu_si256((const __m256i*)p); }
  static QUIRE_INLINE __m256i broadcast(const Unit* p) {
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(static_cast<int>(*p)));
  }
  static QUIRE_INLINE Acc dot(Acc acc, __m256i row, __m256i columns) {
    const __m256i low = _mm256_cvtepu8_epi16(_mm256_castsi256_si128(columns));
    const __m256i high = _mm256_cvtepu8_epi16(_mm256_extracti128_si256(columns, 1));
    // Halves of columns 0..3 and 4..7; hadd leaves them as 0 1 4 5 2 3 6 7.
    const __m256i sums = _mm256_hadd_epi32(_mm256_madd_epi16(low, row), _mm256_madd_epi16(high, row));
    return _mm256_add_epi32(acc, _mm256_permute4x64_epi64(sums, 0xd8));
  }
  static QUIRE_INLINE __m256i low_nibbles(__m256i a) { return _mm256_and_si256(a, _mm256_set1_epi8(0x0f)); }
  static QUIRE_INLINE __m256i high_nibbles(__m256i a) { return low_nibbles(_mm256_srli_epi32(a, 4)); }
};

}  // namespace quire
