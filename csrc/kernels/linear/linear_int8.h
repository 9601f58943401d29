// x · weightᵀ with int8 weights, one scale per output, and activations quantised per row on the way in (W8A8).
//
// One layout for every batch size, read once from front to back: panels (panel.h) of 64 outputs, a unit being four
// consecutive inputs of one output.
//
//     data: [panels of 64 outputs][inputs / 4][64 outputs][4 inputs]  uint8, weight + 128
//     scales: [panels * 64]  float32
//
// Inputs and outputs that only fill up a unit or a panel have weight and scale 0. The machine multiplies unsigned by
// signed bytes, hence the 128; it is taken off again with the sum of the row.

#pragma once

#include <cstdint>
#include <limits>

#include "cpu_features.h"
#include "kernels/linear/quantized_rows.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct PackInt8 {
  const void* weight;  // [outputs, inputs], contiguous
  int64_t outputs;
  int64_t inputs;
  uint8_t* data;
  float* scales;
  DType dtype;
};

void pack_int8(const PackInt8& args);

struct LinearInt8 {
  const void* x;  // [rows, inputs], contiguous
  const uint8_t* data;
  const float* scales;
  const void* bias;  // [outputs] or null
  void* out;         // [rows, outputs], contiguous
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
  DType dtype;
};

void linear_int8(const LinearInt8& args);

// From so many rows on, rows and weights are multiplied as words of 16 bits, to the same sums: AVX2's byte product
// takes four instructions where that of words takes two for half the products, and weights are widened once for all
// rows.
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
template <Isa I>
constexpr int64_t kRowsForWords = I == Isa::kAvx2 ? 80 : kNever;

template <Isa I>
void pack_int8_panel(const PackInt8& args, int64_t panel, std::byte* scratch);

template <Isa I>
void linear_int8_panels(const LinearInt8& args, const QuantizedRows& rows, int64_t begin, int64_t end);

}  // namespace quire
