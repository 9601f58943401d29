#include <immintrin.h>

#include "retrieval/distance/distance.h"

namespace quire::retrieval {
namespace {

float sum(__m256 v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

int32_t sum(__m256i v) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

__m256 add(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
__m256i add(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }

// kSums sums for each row, where an addition waits for the one before it; as many however many rows there are.
// step(sum, query, row, i) adds kStep elements from i on.
template <int kRows, int kSums, int kStep, class Vector, class Query, class Out, class Step>
void sum_some(const Query* query, DistanceKernels::Rows rows, int length, Out* out, const Step& step) {
  Vector sums[kSums][kRows] = {};
  for (int i = 0; i < length; i += kSums * kStep) {
    for (int s = 0; s < kSums; ++s) {
      for (int r = 0; r < kRows; ++r) sums[s][r] = step(sums[s][r], query, rows[r], i + s * kStep);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int s = 1; s < kSums; ++s) sums[0][r] = add(sums[0][r], sums[s][r]);
    out[r] = sum(sums[0][r]);
  }
}

template <int kSums, int kStep, class Vector, class Query, class Out, class Step>
void sum_rows(const Query* query, DistanceKernels::Rows rows, int num_rows, int length, Out* out, const Step& step) {
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) sum_some<4, kSums, kStep, Vector>(query, rows + r, length, out + r, step);
  switch (num_rows - r) {
    case 3:
      return sum_some<3, kSums, kStep, Vector>(query, rows + r, length, out + r, step);
    case 2:
      return sum_some<2, kSums, kStep, Vector>(query, rows + r, length, out + r, step);
    case 1:
      return sum_some<1, kSums, kStep, Vector>(query, rows + r, length, out + r, step);
  }
}

__m256 load_f32(const uint8_t* row, int i) { return _mm256_loadu_ps(reinterpret_cast<const float*>(row) + i); }

__m256 load_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

void dot_f32(const float* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_rows<2, 8, __m256>(query, rows, num_rows, length, out, [](__m256 sum, const float* q, const uint8_t* row, int i) {
    return _mm256_fmadd_ps(_mm256_loadu_ps(q + i), load_f32(row, i), sum);
  });
}

void l2_f32(const float* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_rows<2, 8, __m256>(query, rows, num_rows, length, out, [](__m256 sum, const float* q, const uint8_t* row, int i) {
    const __m256 gap = _mm256_sub_ps(_mm256_loadu_ps(q + i), load_f32(row, i));
    return _mm256_fmadd_ps(gap, gap, sum);
  });
}

void dot_bf16(const uint16_t* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_rows<2, 8, __m256>(
      query, rows, num_rows, length, out, [](__m256 sum, const uint16_t* q, const uint8_t* row, int i) {
        return _mm256_fmadd_ps(load_bf16(q + i), load_bf16(reinterpret_cast<const uint16_t*>(row) + i), sum);
      });
}

// Products of 8-bit numbers are summed in 32 bits from the start: pairs of them overflow 16.
void dot_u8(const uint8_t* query, DistanceKernels::Rows rows, int num_rows, int length, int32_t* out) {
  sum_rows<1, 16, __m256i>(
      query, rows, num_rows, length, out, [](__m256i sum, const uint8_t* q, const uint8_t* row, int i) {
        const __m256i wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q + i)));
        const __m256i a = _mm256_sub_epi16(wide, _mm256_set1_epi16(128));
        const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row + i)));
        return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
      });
}

}  // namespace

const DistanceKernels& distance_kernels_avx2() {
  static constexpr DistanceKernels kernels{dot_f32, l2_f32, dot_bf16, dot_u8};
  return kernels;
}

}  // namespace quire::retrieval
