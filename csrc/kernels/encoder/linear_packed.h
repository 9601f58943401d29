// activation(x · weightᵀ + bias) over weights that were packed for the machine's register tiles: the product for models
// that meet many rows and few rows alike, and whose weights are small enough to be held a second way.
//
//     data: [bands of 64 outputs][strips][inputs / depth][strip columns] units, zeros where outputs or inputs end
//
// A unit is what one lane of the machine multiplies at a time (panel.h): two bfloat16 where there is AVX512-BF16 and
// the activations are bfloat16, one float32 else. Weights of 16 bits stay so in memory and are widened where they are
// loaded: a short text is bound by reading them. A strip is as wide as a register tile, so that a tile reads it in
// order. The layout is that of the instruction set that packed it; it is never kept on disk.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/encoder/nonlinearity.h"
#include "kernels/simd/dtype.h"

namespace quire {

constexpr int64_t kBandOutputs = 64;

struct PackedShape {
  int64_t inputs;
  int64_t outputs;
  DType dtype;   // of activations
  DType stored;  // of the packed weights: dtype, or a narrower one where that is float32

  int64_t bands() const { return (outputs + kBandOutputs - 1) / kBandOutputs; }
};

int64_t packed_linear_bytes(const PackedShape& shape);

// weight: [outputs, inputs] of shape.dtype, contiguous.
void pack_linear(const PackedShape& shape, const void* weight, std::byte* data);

struct LinearPacked {
  PackedShape shape;
  const void* x;  // [rows, inputs], contiguous
  const std::byte* data;
  const void* bias;  // [outputs] or null
  void* out;         // [rows, outputs], contiguous
  int64_t rows;
  Nonlinearity nonlinearity;
};

void linear_packed(const LinearPacked& args);

template <Isa I>
int64_t packed_band_bytes(const PackedShape& shape);

template <Isa I>
void pack_linear_band(const PackedShape& shape, const void* weight, std::byte* data, int64_t band);

// Rows [begin, end) of one band. `scratch` holds packed_rows_bytes<I>(shape, end - begin).
template <Isa I>
void linear_packed_band(const LinearPacked& args, int64_t band, int64_t begin, int64_t end, std::byte* scratch);

template <Isa I>
int64_t packed_rows_bytes(const PackedShape& shape, int64_t rows);

}  // namespace quire
