// silu(gate) · up over rows that hold the gate in their first half and up in their second.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct SiluMul {
  const void* x;  // [rows, 2 * width], contiguous
  void* out;      // [rows, width]
  int64_t rows;
  int64_t width;
  DType dtype;
};

void silu_mul(const SiluMul& args);

template <Isa I>
void silu_mul_rows(const SiluMul& args, int64_t begin, int64_t end);

}  // namespace quire
