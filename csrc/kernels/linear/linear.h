// x · weightᵀ over the weight as the file holds it: row-major, in place, nothing packed but x.
//
// Few rows are bound by the memory that holds the weight: a tile of weight rows is read once, as consecutive runs, and
// multiplied with every row of x while it is in the first-level cache. Many rows are cut into blocks that stay in the
// second-level cache. Accumulates in float32.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

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

// The part of the product that one thread computes at a time.
constexpr int64_t kChunkOutputs = 64, kBlockRows = 96;

// Bytes of one row of x in the form in which it is multiplied.
template <Isa I>
int64_t linear_row_bytes(DType dtype, int64_t inputs);

// Rows [begin, end) of args.x into that form.
template <Isa I>
void pack_linear_rows(const Linear& args, std::byte* packed, int64_t begin, int64_t end);

// Up to kBlockRows rows from first_row on, up to kChunkOutputs outputs from first_output on.
template <Isa I>
void linear_block(const Linear& args, const std::byte* packed, int64_t first_row, int64_t num_rows,
                  int64_t first_output, int64_t num_outputs);

}  // namespace quire
