#include <immintrin.h>

#include "retrieval/distance/distance.h"

namespace quire::retrieval {
namespace {

float sum(__m512 v) { return _mm512_reduce_add_ps(v); }
int32_t sum(__m512i v) { return _mm512_reduce_add_epi32(v); }

// load(query, i) is shared by four rows; step(sum, query vector, row, i) adds kStep elements from i on.
template <int kStep, class Vector, class Query, class Out, class Load, class Step>
void sum_rows(const Query* query, DistanceKernels::Rows rows, int num_rows, int length, Out* out, const Load& load,
              const Step& step) {
  int r = 0;
  for (; r + 4 <= num_rows; r += 4) {
    Vector a = {}, b = {}, c = {}, d = {};
    for (int i = 0; i < length; i += kStep) {
      const auto q = load(query, i);
      a = step(a, q, rows[r], i);
      b = step(b, q, rows[r + 1], i);
      c = step(c, q, rows[r + 2], i);
      d = step(d, q, rows[r + 3], i);
    }
    out[r] = sum(a), out[r + 1] = sum(b), out[r + 2] = sum(c), out[r + 3] = sum(d);
  }
  for (; r < num_rows; ++r) {
    Vector even = {}, odd = {};
    int i = 0;
    for (; i + 2 * kStep <= length; i += 2 * kStep) {
      even = step(even, load(query, i), rows[r], i);
      odd = step(odd, load(query, i + kStep), rows[r], i + kStep);
    }
    if (i < length) even = step(even, load(query, i), rows[r], i);
    out[r] = sum(even) + sum(odd);
  }
}

__m512 load_f32(const float* q, int i) { return _mm512_loadu_ps(q + i); }
__m512 load_f32(const uint8_t* row, int i) { return _mm512_loadu_ps(reinterpret_cast<const float*>(row) + i); }
__m512bh load_bf16(const void* p, int i) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(static_cast<const uint16_t*>(p) + i));
}

void dot_f32(const float* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_rows<16, __m512>(
      query, rows, num_rows, length, out, [](const float* q, int i) { return load_f32(q, i); },
      [](__m512 sum, __m512 q, const uint8_t* row, int i) { return _mm512_fmadd_ps(q, load_f32(row, i), sum); });
}

void l2_f32(const float* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_rows<16, __m512>(
      query, rows, num_rows, length, out, [](const float* q, int i) { return load_f32(q, i); },
      [](__m512 sum, __m512 q, const uint8_t* row, int i) {
        const __m512 gap = _mm512_sub_ps(q, load_f32(row, i));
        return _mm512_fmadd_ps(gap, gap, sum);
      });
}

void dot_bf16(const uint16_t* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_rows<32, __m512>(
      query, rows, num_rows, length, out, [](const uint16_t* q, int i) { return load_bf16(q, i); },
      [](__m512 sum, __m512bh q, const uint8_t* row, int i) { return _mm512_dpbf16_ps(sum, q, load_bf16(row, i)); });
}

void dot_u8(const uint8_t* query, DistanceKernels::Rows rows, int num_rows, int length, int32_t* out) {
  sum_rows<64, __m512i>(
      query, rows, num_rows, length, out,
      [](const uint8_t* q, int i) { return _mm512_xor_si512(_mm512_loadu_si512(q + i), _mm512_set1_epi8(-128)); },
      [](__m512i sum, __m512i q, const uint8_t* row, int i) {
        return _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(row + i), q);
      });
}

}  // namespace

const DistanceKernels& distance_kernels_avx512() {
  static constexpr DistanceKernels kernels{dot_f32, l2_f32, dot_bf16, dot_u8};
  return kernels;
}

}  // namespace quire::retrieval
