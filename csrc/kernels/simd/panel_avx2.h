// Panels of bytes for AVX2, whose byte product takes an unsigned and a signed operand and saturates at 16 bits. Include
// only from *_avx2.cpp.

#pragma once

#include "kernels/simd/panel.h"
#include "kernels/simd/simd_avx2.h"

namespace quire {

template <>
struct PanelOps<Isa::kAvx2, int8_t> {
  using V = Simd<Isa::kAvx2>;
  using Unit = uint32_t;
  using Acc = __m256i;
  static constexpr int kDepth = 4, kRows = 4, kOffset = 0, kStreams = 4;
  static constexpr int num_vectors(int rows) { return rows == 1 ? 8 : rows == 2 ? 4 : 2; }

  // |w| · (x with the sign of w): two products of at most 127 · 128 have room in 16 bits.
  struct Columns {
    __m256i value, magnitude;
  };
  static QUIRE_INLINE Acc set(int32_t x) { return _mm256_set1_epi32(x); }
  static QUIRE_INLINE __m256 to_float(Acc a) { return _mm256_cvtepi32_ps(a); }
  static QUIRE_INLINE Columns load(const Unit* p) {
    const __m256i value = _mm256_xor_si256(bytes(p), _mm256_set1_epi8(-128));
    return {value, _mm256_abs_epi8(value)};
  }
  static QUIRE_INLINE __m256i broadcast(const Unit* p) { return _mm256_set1_epi32(static_cast<int>(*p)); }
  // Written out because GCC else keeps the sums in memory.
  static QUIRE_INLINE Acc dot(Acc acc, __m256i row, Columns columns) {
    __m256i product;
    asm("vpsignb %2, %3, %1\n\tvpmaddubsw %1, %4, %1\n\tvpmaddwd %5, %1, %1\n\tvpaddd %1, %0, %0"
        : "+x"(acc), "=&x"(product)
        : "x"(columns.value), "x"(row), "x"(columns.magnitude), "x"(_mm256_set1_epi16(1)));
    return acc;
  }

  // The same with the sign given to the weight, which of few rows leaves registers for more columns.
  struct FewRows {
    static constexpr int kRows = 2;
    using V = Simd<Isa::kAvx2>;
    using Unit = uint32_t;
    struct Row {
      __m256i value, magnitude;
    };
    static QUIRE_INLINE __m256i load(const Unit* p) { return _mm256_xor_si256(bytes(p), _mm256_set1_epi8(-128)); }
    static QUIRE_INLINE Row broadcast(const Unit* p) {
      const __m256i value = _mm256_set1_epi32(static_cast<int>(*p));
      return {value, _mm256_abs_epi8(value)};
    }
    static QUIRE_INLINE Acc dot(Acc acc, Row row, __m256i column) {
      __m256i product;
      asm("vpsignb %2, %3, %1\n\tvpmaddubsw %1, %4, %1\n\tvpmaddwd %5, %1, %1\n\tvpaddd %1, %0, %0"
          : "+x"(acc), "=&x"(product)
          : "x"(row.value), "x"(column), "x"(row.magnitude), "x"(_mm256_set1_epi16(1)));
      return acc;
    }
  };

  // Eight products of two pairs have room in 16 bits: 8 · 2 · 15 · 127.
  using Nibbles = __m256i;
  static constexpr int kNibbleRows = 3, kNibbleSteps = 8;
  static QUIRE_INLINE Nibbles dot_nibbles(Nibbles sums, __m256i row, __m256i columns) {
    __m256i product;
    asm("vpmaddubsw %2, %3, %1\n\tvpaddw %1, %0, %0" : "+x"(sums), "=&x"(product) : "x"(row), "x"(columns));
    return sums;
  }
  static QUIRE_INLINE Acc add_nibbles(Acc acc, Nibbles sums) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(sums, _mm256_set1_epi16(1)));
  }
  static QUIRE_INLINE __m256i low_nibbles(const Unit* p) { return _mm256_and_si256(bytes(p), _mm256_set1_epi8(0x0f)); }
  static QUIRE_INLINE __m256i high_nibbles(const Unit* p) {
    return _mm256_and_si256(_mm256_srli_epi32(bytes(p), 4), _mm256_set1_epi8(0x0f));
  }

 private:
  static QUIRE_INLINE __m256i bytes(const Unit* p) { return _mm256_loadu_si256((const __m256i*)p); }
};

// Pairs of words: 16 products and their sums in two instructions, none of which saturates.
template <>
struct PanelOps<Isa::kAvx2, int16_t> {
  using V = Simd<Isa::kAvx2>;
  using Unit = uint32_t;
  using Acc = __m256i;
  static constexpr int kRows = 6, kVectors = 2;

  static QUIRE_INLINE __m256i load(const Unit* p) { return _mm256_loadu_si256((const __m256i*)p); }
  static QUIRE_INLINE __m256i broadcast(const Unit* p) { return _mm256_set1_epi32(static_cast<int>(*p)); }
  static QUIRE_INLINE Acc dot(Acc acc, __m256i row, __m256i column) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(row, column));
  }

  // A step of a tile's columns, bytes that are 128 too large, as two steps of words.
  static QUIRE_INLINE void widen(const Unit* from, Unit* to) {
    const __m256i first_two = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13,  //
                                               -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
    const __m256i last_two = _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15,  //
                                              -1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15);
    for (int n = 0; n < kVectors; ++n) {
      const __m256i value = _mm256_xor_si256(load(from + n * V::kWidth), _mm256_set1_epi8(-128));
      store(to + n * V::kWidth, _mm256_srai_epi16(_mm256_shuffle_epi8(value, first_two), 8));
      store(to + (kVectors + n) * V::kWidth, _mm256_srai_epi16(_mm256_shuffle_epi8(value, last_two), 8));
    }
  }

 private:
  static QUIRE_INLINE void store(Unit* p, __m256i a) { _mm256_storeu_si256((__m256i*)p, a); }
};

}  // namespace quire
