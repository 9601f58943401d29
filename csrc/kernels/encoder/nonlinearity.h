// What a feed-forward layer of an encoder does between its two products, element by element.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

enum class Nonlinearity : int { kNone = 0, kGelu = 1, kGeluTanh = 2, kRelu = 3 };

// x[i] = f(x[i]), for products that cannot do it on their way out.
struct ApplyNonlinearity {
  void* x;  // [size]
  int64_t size;
  Nonlinearity kind;
  DType dtype;
};

void apply_nonlinearity(const ApplyNonlinearity& args);

template <Isa I>
void apply_nonlinearity_range(const ApplyNonlinearity& args, int64_t begin, int64_t end);

}  // namespace quire
