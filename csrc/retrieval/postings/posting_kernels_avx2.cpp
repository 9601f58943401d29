#include <immintrin.h>

#include <bit>

#include "retrieval/postings/posting_kernels.h"

namespace quire::retrieval {
namespace {

constexpr uint32_t kWidest = 25;  // a value and the seven bits before it fit into four bytes

// How eight values of a width come out of two overlapping loads of 16 bytes, the second of them `second` bytes on.
struct Spread {
  alignas(32) uint8_t bytes[32];
  alignas(32) uint32_t shifts[8];
  uint32_t second;
};

constexpr std::array<Spread, kWidest + 1> kSpreads = [] {
  std::array<Spread, kWidest + 1> spreads{};
  for (uint32_t width = 0; width <= kWidest; ++width) {
    Spread& spread = spreads[width];
    spread.second = 4 * width / 8;
    for (uint32_t lane = 0; lane < 8; ++lane) {
      const uint32_t first = lane * width / 8 - (lane < 4 ? 0 : spread.second);
      for (uint32_t i = 0; i < 4; ++i) spread.bytes[4 * lane + i] = static_cast<uint8_t>(first + i);
      spread.shifts[lane] = lane * width % 8;
    }
  }
  return spreads;
}();

// The lanes of eight that a mask has, in front.
constexpr std::array<std::array<uint8_t, 8>, 256> kLanesOf = [] {
  std::array<std::array<uint8_t, 8>, 256> lanes{};
  for (uint32_t mask = 0; mask < 256; ++mask) {
    uint32_t count = 0;
    for (uint8_t lane = 0; lane < 8; ++lane) {
      if (mask >> lane & 1) lanes[mask][count++] = lane;
    }
  }
  return lanes;
}();

__m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }

// use(eight values, their place) for the 32 of a quarter.
template <class Use>
void unpack_quarter(const uint8_t* packed, uint32_t width, const Use& use) {
  if (width > kWidest) {
    for (uint32_t i = 0; i < kQuarter; i += 8) {
      alignas(32) uint32_t values[8];
      for (uint32_t j = 0; j < 8; ++j) values[j] = unpack_one(packed, width, i + j);
      use(load(values), i);
    }
    return;
  }
  const Spread& spread = kSpreads[width];
  const __m256i bytes = load(spread.bytes), shifts = load(spread.shifts);
  const __m256i mask = _mm256_set1_epi32(static_cast<int>((1u << width) - 1));
  for (uint32_t i = 0; i < kQuarter; i += 8, packed += width) {
    const __m256i eight = _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(packed + spread.second),
                                              reinterpret_cast<const __m128i*>(packed));
    use(_mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi8(eight, bytes), shifts), mask), i);
  }
}

__m256i running_sums(__m256i v) {
  v = _mm256_add_epi32(v, _mm256_slli_si256(v, 4));
  v = _mm256_add_epi32(v, _mm256_slli_si256(v, 8));
  const __m256i low_half_above = _mm256_permute2x128_si256(v, v, 0x08);
  return _mm256_add_epi32(v, _mm256_shuffle_epi32(low_half_above, 0xff));
}

uint32_t greatest_of(__m256i v) {
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
  return static_cast<uint32_t>(_mm_cvtsi128_si32(m));
}

// Eight values from anywhere: single loads, which machines without AVX512 do sooner than a gather.
__m256i load_each(const uint32_t* values, const uint32_t* at) {
  const auto one = [&](int lane) { return static_cast<int>(values[at[lane]]); };
  return _mm256_setr_epi32(one(0), one(1), one(2), one(3), one(4), one(5), one(6), one(7));
}

uint32_t documents(const uint8_t* packed, const Widths& widths, uint32_t first, uint32_t* out) {
  const __m256i ones = _mm256_set1_epi32(1), last_lane = _mm256_set1_epi32(7);
  __m256i before = _mm256_set1_epi32(static_cast<int>(first - 1)), greatest = _mm256_setzero_si256();
  for (const uint8_t each : widths) {
    unpack_quarter(packed, gap_width(each), [&](__m256i gaps, uint32_t i) {
      const __m256i steps = running_sums(_mm256_add_epi32(gaps, ones));
      const __m256i documents = _mm256_add_epi32(steps, before);
      // Not taken from `documents`: the next eight wait for this addition alone.
      before = _mm256_add_epi32(before, _mm256_permutevar8x32_epi32(steps, last_lane));
      greatest = _mm256_max_epu32(greatest, documents);
      store(out + i, documents);
    });
    packed += 4 * gap_width(each);
    out += kQuarter;
  }
  return greatest_of(greatest);
}

void frequencies(const uint8_t* packed, const Widths& widths, uint32_t* out) {
  const __m256i ones = _mm256_set1_epi32(1);
  for (const uint8_t each : widths) {
    unpack_quarter(packed, frequency_width(each),
                   [&](__m256i values, uint32_t i) { store(out + i, _mm256_add_epi32(values, ones)); });
    packed += 4 * frequency_width(each);
    out += kQuarter;
  }
}

void score(const Impact& impact, const uint32_t* documents, const uint32_t* frequencies, uint32_t count,
           const uint32_t* lengths, float* out) {
  const __m256 base = _mm256_set1_ps(impact.base), slope = _mm256_set1_ps(impact.slope);
  const __m256 above = _mm256_set1_ps(impact.above), below = _mm256_set1_ps(impact.below);
  const __m256 scale = _mm256_set1_ps(impact.scale), shift = _mm256_set1_ps(impact.shift);
  for (uint32_t i = 0; i < count; i += 8) {
    const __m256i length = load_each(lengths, documents + i);
    const __m256 n = _mm256_fmadd_ps(slope, _mm256_cvtepi32_ps(length), base);
    const __m256 f = _mm256_cvtepi32_ps(load(frequencies + i));
    const __m256 ratio = _mm256_div_ps(_mm256_fmadd_ps(above, n, f), _mm256_fmadd_ps(below, n, f));
    _mm256_storeu_ps(out + i, _mm256_fmadd_ps(scale, ratio, shift));
  }
}

// Those lanes of both in front.
struct Kept {
  Kept(int mask, __m256i slots, __m256 scores)
      : count(static_cast<uint32_t>(std::popcount(static_cast<uint32_t>(mask)))) {
    const __m128i in_bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kLanesOf[mask].data()));
    const __m256i lanes = _mm256_cvtepu8_epi32(in_bytes);
    this->slots = _mm256_permutevar8x32_epi32(slots, lanes);
    this->scores = _mm256_permutevar8x32_ps(scores, lanes);
  }
  __m256i slots;
  __m256 scores;
  uint32_t count;
};

int greater(__m256 scores, __m256 least) { return _mm256_movemask_ps(_mm256_cmp_ps(scores, least, _CMP_GT_OQ)); }

uint32_t keep(const uint32_t* slots, const float* scores, uint32_t count, float above, uint32_t* kept_slots,
              float* kept_scores) {
  const __m256 least = _mm256_set1_ps(above);
  uint32_t num_kept = 0;
  for (uint32_t i = 0; i < count; i += 8) {
    const __m256 eight = _mm256_loadu_ps(scores + i);
    const int valid = count - i < 8 ? (1 << (count - i)) - 1 : 0xff;
    const Kept kept(greater(eight, least) & valid, load(slots + i), eight);
    store(kept_slots + num_kept, kept.slots);
    _mm256_storeu_ps(kept_scores + num_kept, kept.scores);
    num_kept += kept.count;
  }
  return num_kept;
}

uint32_t take(float* sums, uint8_t* is_touched, uint32_t begin, float above, uint32_t* slots, float* scores) {
  const __m256 least = _mm256_set1_ps(above);
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  uint32_t num_taken = 0;
  for (uint32_t group = 0; group < kSumWindow / 8; group += 32) {
    auto touched = static_cast<uint32_t>(_mm256_movemask_epi8(load(is_touched + group)));
    store(is_touched + group, _mm256_setzero_si256());
    for (; touched != 0; touched &= touched - 1) {
      const uint32_t i = (group + static_cast<uint32_t>(std::countr_zero(touched))) * 8;
      const __m256 eight = _mm256_loadu_ps(sums + i);
      const __m256i numbers = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(begin + i)), lanes);
      const Kept taken(greater(eight, least), numbers, eight);
      store(slots + num_taken, taken.slots);
      _mm256_storeu_ps(scores + num_taken, taken.scores);
      num_taken += taken.count;
      _mm256_storeu_ps(sums + i, _mm256_setzero_ps());
    }
  }
  return num_taken;
}

uint32_t find(const uint32_t* documents, const uint32_t* slots, uint32_t count, uint32_t* hits, uint32_t* places) {
  // The last documents of the sixteen eights of the block say which eight it must be. No branch depends on the data.
  constexpr uint32_t kEveryEighth[8] = {7, 15, 23, 31, 39, 47, 55, 63};
  const __m256i low = load_each(documents, kEveryEighth), high = load_each(documents + 64, kEveryEighth);
  uint32_t num_hits = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const __m256i slot = _mm256_set1_epi32(static_cast<int>(slots[i]));
    // As bytes, so that one mask counts both: an eight that ends before the slot has two bits in it.
    const __m256i is_before = _mm256_packs_epi32(_mm256_cmpgt_epi32(slot, low), _mm256_cmpgt_epi32(slot, high));
    const auto bits = static_cast<uint32_t>(_mm256_movemask_epi8(is_before));
    const uint32_t eight = static_cast<uint32_t>(std::popcount(bits)) / 2 * 8;
    const __m256i is_here = _mm256_cmpeq_epi32(slot, load(documents + eight));
    const auto here = static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(is_here)));
    hits[num_hits] = i;
    places[num_hits] = eight + static_cast<uint32_t>(std::countr_zero(here | 0x100));
    num_hits += here != 0;
  }
  return num_hits;
}

}  // namespace

const PostingKernels& posting_kernels_avx2() {
  static constexpr PostingKernels kKernels{documents, frequencies, score, keep, take, find};
  return kKernels;
}

}  // namespace quire::retrieval
