// Scoring and keeping, sixteen at a time; the others are those of AVX2, which eight values fit.

#include <immintrin.h>

#include <bit>

#include "retrieval/postings/posting_kernels.h"

namespace quire::retrieval {
namespace {

void score(const Impact& impact, const uint32_t* documents, const uint32_t* frequencies, uint32_t count,
           const uint32_t* lengths, float* out) {
  const __m512 base = _mm512_set1_ps(impact.base), slope = _mm512_set1_ps(impact.slope);
  const __m512 above = _mm512_set1_ps(impact.above), below = _mm512_set1_ps(impact.below);
  const __m512 scale = _mm512_set1_ps(impact.scale), shift = _mm512_set1_ps(impact.shift);
  for (uint32_t i = 0; i < count; i += 16) {
    const __m512i length = _mm512_i32gather_epi32(_mm512_loadu_si512(documents + i), lengths, 4);
    const __m512 n = _mm512_fmadd_ps(slope, _mm512_cvtepu32_ps(length), base);
    const __m512 f = _mm512_cvtepu32_ps(_mm512_loadu_si512(frequencies + i));
    const __m512 ratio = _mm512_div_ps(_mm512_fmadd_ps(above, n, f), _mm512_fmadd_ps(below, n, f));
    _mm512_storeu_ps(out + i, _mm512_fmadd_ps(scale, ratio, shift));
  }
}

__mmask16 first_lanes(uint32_t count) { return static_cast<__mmask16>(count < 16 ? (1u << count) - 1 : 0xffff); }

// Writes those lanes of both; returns how many.
uint32_t put(__mmask16 lanes, __m512i slots, __m512 scores, uint32_t* kept_slots, float* kept_scores) {
  const auto count = static_cast<uint32_t>(std::popcount(lanes));
  _mm512_mask_storeu_epi32(kept_slots, first_lanes(count), _mm512_maskz_compress_epi32(lanes, slots));
  _mm512_mask_storeu_ps(kept_scores, first_lanes(count), _mm512_maskz_compress_ps(lanes, scores));
  return count;
}

uint32_t keep(const uint32_t* slots, const float* scores, uint32_t count, float above, uint32_t* kept_slots,
              float* kept_scores) {
  const __m512 least = _mm512_set1_ps(above);
  uint32_t num_kept = 0;
  for (uint32_t i = 0; i < count; i += 16) {
    const __mmask16 valid = first_lanes(count - i);
    const __m512 sixteen = _mm512_maskz_loadu_ps(valid, scores + i);
    const __mmask16 chosen = _mm512_mask_cmp_ps_mask(valid, sixteen, least, _CMP_GT_OQ);
    const __m512i numbers = _mm512_maskz_loadu_epi32(valid, slots + i);
    num_kept += put(chosen, numbers, sixteen, kept_slots + num_kept, kept_scores + num_kept);
  }
  return num_kept;
}

}  // namespace

const PostingKernels& posting_kernels_avx512() {
  static const PostingKernels kKernels = [] {
    PostingKernels kernels = posting_kernels_avx2();
    kernels.score = score;
    kernels.keep = keep;
    return kernels;
  }();
  return kKernels;
}

}  // namespace quire::retrieval
