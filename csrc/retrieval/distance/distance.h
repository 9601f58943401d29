// Inner products and squared distances of one vector with many rows: the inner loop of every vector search.
//
// Lengths are in elements and padded: a multiple of 64 bytes of the row's type; the padding stands for zeros. The query
// is encoded like the rows. Rows are taken four at a time, so that the query is loaded once for four.

#pragma once

#include <cstdint>

#include "cpu_features.h"

namespace quire::retrieval {

struct DistanceKernels {
  using Rows = const uint8_t* const*;

  void (*dot_f32)(const float* query, Rows rows, int num_rows, int length, float* out);
  void (*l2_f32)(const float* query, Rows rows, int num_rows, int length, float* out);
  void (*dot_bf16)(const uint16_t* query, Rows rows, int num_rows, int length, float* out);
  // Σ (query - 128) · row: the instruction wants one signed side and one unsigned.
  void (*dot_u8)(const uint8_t* query, Rows rows, int num_rows, int length, int32_t* out);
};

const DistanceKernels& distance_kernels_portable();
#if defined(__x86_64__)
const DistanceKernels& distance_kernels_avx2();
const DistanceKernels& distance_kernels_avx512();
#endif

inline const DistanceKernels& distance_kernels() {
#if defined(__x86_64__)
  if (isa() == Isa::kAvx512) return distance_kernels_avx512();
  if (isa() == Isa::kAvx2) return distance_kernels_avx2();
#endif
  return distance_kernels_portable();
}

}  // namespace quire::retrieval
