#include <bit>

#include "retrieval/distance/distance.h"

namespace quire::retrieval {
namespace {

float widen(uint16_t bf16) { return std::bit_cast<float>(uint32_t{bf16} << 16); }

template <class Element, class Out, class Query, class Term>
void sum_terms(const Query* query, DistanceKernels::Rows rows, int num_rows, int length, Out* out, const Term& term) {
  for (int r = 0; r < num_rows; ++r) {
    const auto* row = reinterpret_cast<const Element*>(rows[r]);
    Out sums[8] = {};
    for (int i = 0; i < length; i += 8) {
      for (int lane = 0; lane < 8; ++lane) sums[lane] += term(query[i + lane], row[i + lane]);
    }
    out[r] = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  }
}

void dot_f32(const float* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_terms<float>(query, rows, num_rows, length, out, [](float a, float b) { return a * b; });
}

void l2_f32(const float* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_terms<float>(query, rows, num_rows, length, out, [](float a, float b) { return (a - b) * (a - b); });
}

void dot_bf16(const uint16_t* query, DistanceKernels::Rows rows, int num_rows, int length, float* out) {
  sum_terms<uint16_t>(query, rows, num_rows, length, out, [](uint16_t a, uint16_t b) { return widen(a) * widen(b); });
}

void dot_u8(const uint8_t* query, DistanceKernels::Rows rows, int num_rows, int length, int32_t* out) {
  sum_terms<uint8_t>(query, rows, num_rows, length, out, [](uint8_t a, uint8_t b) { return (int32_t{a} - 128) * b; });
}

}  // namespace

const DistanceKernels& distance_kernels_portable() {
  static constexpr DistanceKernels kernels{dot_f32, l2_f32, dot_bf16, dot_u8};
  return kernels;
}

}  // namespace quire::retrieval
