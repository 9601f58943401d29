// Panels for AVX512-BF16 and VNNI: pairs of bfloat16, fours of bytes. Include only from *_avx512.cpp.

#pragma once

#include "kernels/simd/panel.h"
#include "kernels/simd/simd_avx512.h"

namespace quire {

// acc + the products of pairs, and of fours. Written out because GCC's intrinsics copy the accumulators around and so
// spill a full register tile.
#ifndef QUIRE_EMULATE_AVX512
QUIRE_INLINE __m512 dot_bf16(__m512 acc, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
QUIRE_INLINE __m512i dot_bytes(__m512i acc, __m512i unsigned_bytes, __m512i signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(unsigned_bytes), "v"(signed_bytes));
  return acc;
}
#else
using avx512::dot_bf16, avx512::dot_bytes;
#endif

template <>
struct PanelOps<Isa::kAvx512, BFloat16> {
  using V = Simd<Isa::kAvx512>;
  using Unit = uint32_t;
  using Element = BFloat16;
  using Acc = __m512;
  static constexpr int kDepth = 2;
  static QUIRE_INLINE __m512i load(const Unit* p) { return _mm512_loadu_si512(p); }
  static QUIRE_INLINE __m512i broadcast(const Unit* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static QUIRE_INLINE Acc dot(Acc acc, __m512i a, __m512i b) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }
};

template <>
struct PanelOps<Isa::kAvx512, int8_t> {
  using V = Simd<Isa::kAvx512>;
  using Unit = uint32_t;
  using Acc = __m512i;
  static constexpr int kDepth = 4, kRows = RegisterTile<Isa::kAvx512>::kRows, kOffset = 128, kStreams = 1;
  static constexpr int num_vectors(int) { return 4; }
  static QUIRE_INLINE Acc set(int32_t x) { return _mm512_set1_epi32(x); }
  static QUIRE_INLINE __m512 to_float(Acc a) { return _mm512_cvtepi32_ps(a); }
  static QUIRE_INLINE __m512i load(const Unit* p) { return _mm512_loadu_si512(p); }
  static QUIRE_INLINE __m512i broadcast(const Unit* p) { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static QUIRE_INLINE Acc dot(Acc acc, __m512i row, __m512i columns) { return dot_bytes(acc, columns, row); }
  using Nibbles = Acc;
  static constexpr int kNibbleRows = kRows / 2, kNibbleSteps = std::numeric_limits<int>::max();
  static QUIRE_INLINE Nibbles dot_nibbles(Nibbles acc, __m512i row, __m512i columns) { return dot(acc, row, columns); }
  static QUIRE_INLINE __m512i low_nibbles(const Unit* p) { return _mm512_and_si512(load(p), _mm512_set1_epi8(0x0f)); }
  static QUIRE_INLINE __m512i high_nibbles(const Unit* p) {
    return _mm512_and_si512(_mm512_srli_epi32(load(p), 4), _mm512_set1_epi8(0x0f));
  }
};

// Lane i of the result is the sum of all lanes of a[i].
QUIRE_INLINE __m512 sum_each(const __m512 (&a)[16]) {
  __m512 b[8], c[4];
  for (int i = 0; i < 8; ++i) {
    b[i] = _mm512_add_ps(_mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]), _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]));
  }
  // Lane 4·g + k of c[i] is the sum of lanes 4·g..4·g+3 of a[4·i + k].
  for (int i = 0; i < 4; ++i) {
    const __m512d even = _mm512_castps_pd(b[2 * i]), odd = _mm512_castps_pd(b[2 * i + 1]);
    c[i] =
        _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(even, odd)), _mm512_castpd_ps(_mm512_unpackhi_pd(even, odd)));
  }
  const __m512 d0 = _mm512_add_ps(_mm512_shuffle_f32x4(c[0], c[1], 0x88), _mm512_shuffle_f32x4(c[0], c[1], 0xdd));
  const __m512 d1 = _mm512_add_ps(_mm512_shuffle_f32x4(c[2], c[3], 0x88), _mm512_shuffle_f32x4(c[2], c[3], 0xdd));
  return _mm512_add_ps(_mm512_shuffle_f32x4(d0, d1, 0x88), _mm512_shuffle_f32x4(d0, d1, 0xdd));
}

}  // namespace quire
