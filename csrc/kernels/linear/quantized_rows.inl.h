// quantized_rows.h over one instruction set.

#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/linear/quantized_rows.h"
#include "kernels/simd/simd.h"

namespace quire {

template <Isa I, class T>
QUIRE_INLINE float largest_magnitude(const T* x, int64_t size) {
  using V = Simd<I>;
  auto largest = V::zero();
  for_vectors<I>(size, [&](int64_t i, auto n) {
    const auto value = load_n<I>(x + i, n);
    largest = V::max(largest, V::max(value, V::sub(V::zero(), value)));
  });
  return V::max_of(largest);
}

// What makes numbers of magnitudes up to `largest` whole ones up to `levels`: 0 where they are too small to have one.
QUIRE_INLINE float whole_factor(float levels, float largest) {
  const float factor = levels / largest;
  return std::isfinite(factor) ? factor : 0.0f;
}

// q[i] = round(x[i] · factor), which must fit into int8.
template <Isa I, class T>
QUIRE_INLINE void round_to_int8(const T* x, float factor, int64_t size, int8_t* q) {
  using V = Simd<I>;
  for_vectors<I>(size,
                 [&](int64_t i, auto n) { V::store_int8(q + i, V::mul(load_n<I>(x + i, n), V::set(factor)), n); });
}

template <Isa I>
void quantize_rows(const void* x, DType dtype, int64_t inputs, int64_t begin, int64_t end, const QuantizedRows& to) {
  with_dtype(dtype, [&]<class T>(T) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = static_cast<const T*>(x) + r * inputs;
      int8_t* q = to.q + r * to.width;
      const float largest = largest_magnitude<I>(row, inputs);
      to.scales[r] = largest / 127.0f;
      round_to_int8<I>(row, whole_factor(127.0f, largest), inputs, q);
      std::fill(q + inputs, q + to.width, int8_t{0});
      if (to.words) std::copy_n(q, to.width, to.words + r * to.width);
      const int64_t groups = to.width / to.group;
      for (int64_t g = 0; g < groups; ++g) {
        int32_t sum = 0;
        for (int64_t i = 0; i < to.group; ++i) sum += q[g * to.group + i];
        to.sums[r * groups + g] = sum;
      }
    }
  });
}

}  // namespace quire
