// RMS norm of rows, alone or behind a residual addition.
//
//   out = T(x / sqrt(mean(x²) + eps)) · weight, with the mean in float32 and T the dtype of x, as transformers rounds
//   it.
//
// With a residual, x is first replaced by x + residual (rounded to T), which is also written to `sum`.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct RmsNorm {
  const void* x;         // [rows, width], contiguous
  const void* residual;  // [rows, width] or null
  const void* weight;    // [width]
  void* out;             // [rows, width]; may be x
  void* sum;             // [rows, width] where there is a residual; may be residual
  int64_t rows;
  int64_t width;
  float eps;
  DType dtype;
};

void rms_norm(const RmsNorm& args);

template <Isa I>
void rms_norm_rows(const RmsNorm& args, int64_t begin, int64_t end);

}  // namespace quire
