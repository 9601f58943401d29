// Layer norm of rows behind a residual addition: the way out of every sublayer of an encoder.
//
//   out = (s - mean(s)) / sqrt(variance(s) + eps) · weight + bias   with   s = x + residual

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct LayerNorm {
  const void* x;         // [rows, width], contiguous
  const void* residual;  // [rows, width] or null
  const void* weight;    // [width]
  const void* bias;      // [width]
  void* out;             // [rows, width]; may be x or residual
  int64_t rows;
  int64_t width;
  float eps;
  DType dtype;
};

void layer_norm(const LayerNorm& args);

// `sums` holds `width` floats.
template <Isa I>
void layer_norm_rows(const LayerNorm& args, int64_t begin, int64_t end, float* sums);

}  // namespace quire
