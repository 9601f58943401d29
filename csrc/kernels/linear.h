// x · weightᵀ for few rows of x, over the weight as the file holds it: row-major, in place, nothing packed.
//
// Bound by the memory that holds the weight: a tile of weight rows is read once, as consecutive runs, and multiplied
// with every row of x while it is in the first-level cache. Accumulates in float32.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/dtype.h"

namespace quire {

struct Linear {
  const void* x;       // [rows, inputs], contiguous
  const void* weight;  // [outputs, inputs], contiguous
  const void* bias;    // [outputs] or null
  void* out;           // [rows, outputs], contiguous
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
  DType dtype;
};

void linear(const Linear& args);

// Outputs [begin, end) of every row. `sums` holds rows * kMaxTileOutputs floats.
constexpr int64_t kMaxTileOutputs = 8;
template <Isa I>
void linear_outputs(const Linear& args, int64_t begin, int64_t end, float* sums);

}  // namespace quire
