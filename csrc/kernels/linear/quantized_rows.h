// Rows of activations as int8, each with its own scale: what the int8 and int4 weights are multiplied with.
//
// q[i] = round(x[i] / scale), scale = max |x| / 127 over the row alone, so that a row's result depends on no other row.
// Rows are padded with zeros to whole groups. The sums of every group of q undo the zero point of unsigned weights.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct QuantizedRows {
  int8_t* q;       // [rows, width]
  float* scales;   // [rows]
  int32_t* sums;   // [rows, width / group]
  int64_t width;   // inputs rounded up to a multiple of group
  int64_t group;   // elements; a multiple of 4
  int16_t* words;  // q once more, for kernels that multiply words, or null
};

template <Isa I>
void quantize_rows(const void* x, DType dtype, int64_t inputs, int64_t begin, int64_t end, const QuantizedRows& to);

}  // namespace quire
