#include <algorithm>

#include "retrieval/postings/posting_kernels.h"

namespace quire::retrieval {
namespace {

void unpack_quarter(const uint8_t* packed, uint32_t width, uint32_t* out) {
  for (uint32_t i = 0; i < kQuarter; ++i) out[i] = unpack_one(packed, width, i);
}

uint32_t documents(const uint8_t* packed, const Widths& widths, uint32_t first, uint32_t* out) {
  for (uint32_t q = 0; q < kNumQuarters; ++q) {
    unpack_quarter(packed, gap_width(widths[q]), out + q * kQuarter);
    packed += 4 * gap_width(widths[q]);
  }
  uint32_t next = first, greatest = 0;
  for (uint32_t i = 0; i < kPostingBlock; ++i) {
    out[i] += next;
    next = out[i] + 1;
    greatest = std::max(greatest, out[i]);
  }
  return greatest;
}

void frequencies(const uint8_t* packed, const Widths& widths, uint32_t* out) {
  for (uint32_t q = 0; q < kNumQuarters; ++q, out += kQuarter) {
    unpack_quarter(packed, frequency_width(widths[q]), out);
    packed += 4 * frequency_width(widths[q]);
    for (uint32_t i = 0; i < kQuarter; ++i) ++out[i];
  }
}

void score(const Impact& impact, const uint32_t* documents, const uint32_t* frequencies, uint32_t count,
           const uint32_t* lengths, float* out) {
  for (uint32_t i = 0; i < count; ++i) out[i] = impact(frequencies[i], lengths[documents[i]]);
}

uint32_t keep(const uint32_t* slots, const float* scores, uint32_t count, float above, uint32_t* kept_slots,
              float* kept_scores) {
  uint32_t num_kept = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const float score = scores[i];
    kept_slots[num_kept] = slots[i];
    kept_scores[num_kept] = score;
    num_kept += score > above;
  }
  return num_kept;
}

uint32_t take(float* sums, uint8_t* is_touched, uint32_t begin, float above, uint32_t* slots, float* scores) {
  uint32_t num_taken = 0;
  for (uint32_t group = 0; group < kSumWindow / 8; ++group) {
    if (is_touched[group] == 0) continue;
    is_touched[group] = 0;
    for (uint32_t i = group * 8; i < group * 8 + 8; ++i) {
      slots[num_taken] = begin + i;
      scores[num_taken] = sums[i];
      num_taken += sums[i] > above;
      sums[i] = 0;
    }
  }
  return num_taken;
}

uint32_t find(const uint32_t* documents, const uint32_t* slots, uint32_t count, uint32_t* hits, uint32_t* places) {
  uint32_t num_hits = 0, place = 0;
  for (uint32_t i = 0; i < count; ++i) {
    while (documents[place] < slots[i]) ++place;
    hits[num_hits] = i;
    places[num_hits] = place;
    num_hits += documents[place] == slots[i];
  }
  return num_hits;
}

}  // namespace

const PostingKernels& posting_kernels_portable() {
  static constexpr PostingKernels kKernels{documents, frequencies, score, keep, take, find};
  return kKernels;
}

}  // namespace quire::retrieval
