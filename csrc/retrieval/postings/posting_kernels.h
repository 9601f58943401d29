// The inner loops of word search: unpacking blocks of postings, scoring them, keeping what is good enough.
//
// A packed block is 128 gaps, then 128 frequencies less one, in quarters of 32 with a width each: value i of a quarter
// has the bits [i · width, (i + 1) · width), low ones first, so a quarter is 4 · width bytes, and any eight values
// begin at a byte.
//
//   Widths   of quarter q: the gaps' in the low five bits, a code for the frequencies' (kFrequencyWidths) in the others
//
// Reading goes up to kSlack bytes beyond a block.

#pragma once

#include <array>
#include <cstdint>

#include "cpu_features.h"
#include "hash.h"
#include "retrieval/postings/bm25.h"

namespace quire::retrieval {

constexpr uint32_t kPostingBlock = 128, kQuarter = 32, kNumQuarters = 4, kPackedSlack = 16;
constexpr uint32_t kSumWindow = 4096;
constexpr std::array<uint8_t, 8> kFrequencyWidths{0, 1, 2, 3, 4, 6, 10, 32};

using Widths = std::array<uint8_t, kNumQuarters>;
inline uint32_t gap_width(uint8_t widths) { return widths & 31; }
inline uint32_t frequency_width(uint8_t widths) { return kFrequencyWidths[widths >> 5]; }

inline uint32_t unpack_one(const uint8_t* packed, uint32_t width, uint32_t i) {
  const uint32_t bit = i * width;
  return static_cast<uint32_t>(read_word<uint64_t>(packed + bit / 8) >> (bit % 8) & ((uint64_t{1} << width) - 1));
}

struct PostingKernels {
  // The documents of a block, the first of them at least `first`; returns the greatest.
  uint32_t (*documents)(const uint8_t* packed, const Widths& widths, uint32_t first, uint32_t* out);
  // `packed`: where the frequencies begin.
  void (*frequencies)(const uint8_t* packed, const Widths& widths, uint32_t* out);
  // out[i] = impact(frequencies[i], lengths[documents[i]]). Works on multiples of 16, so arrays must go that far.
  void (*score)(const Impact& impact, const uint32_t* documents, const uint32_t* frequencies, uint32_t count,
                const uint32_t* lengths, float* out);
  // Copies those with a score above `above`, in their order, and returns how many; in place is fine. The eight entries
  // behind what is copied may be overwritten.
  uint32_t (*keep)(const uint32_t* slots, const float* scores, uint32_t count, float above, uint32_t* kept_slots,
                   float* kept_scores);
  // The same of sums[i], the score of slot `begin` + i, among the kSumWindow there are: of every eighth that
  // is_touched. What was touched becomes zeros.
  uint32_t (*take)(float* sums, uint8_t* is_touched, uint32_t begin, float above, uint32_t* slots, float* scores);
  // Which of `slots`, that ascend up to the last document of a block, are in the block: slots[hits[j]] is its
  // documents[places[j]]. Returns how many. REQUIRES: numbers below 2³¹.
  uint32_t (*find)(const uint32_t* documents, const uint32_t* slots, uint32_t count, uint32_t* hits, uint32_t* places);
};

const PostingKernels& posting_kernels_portable();
#if defined(__x86_64__)
const PostingKernels& posting_kernels_avx2();
const PostingKernels& posting_kernels_avx512();
#endif

inline const PostingKernels& posting_kernels() {
#if defined(__x86_64__)
  if (isa() == Isa::kAvx512) return posting_kernels_avx512();
  if (isa() == Isa::kAvx2) return posting_kernels_avx2();
#endif
  return posting_kernels_portable();
}

}  // namespace quire::retrieval
