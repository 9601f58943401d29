// The rows of norm.h over one instruction set.

#pragma once

#include <cmath>

#include "kernels/rows/norm.h"
#include "kernels/simd/simd.h"

namespace quire {

// Writes x + residual to `sum` and returns the sum of its squares.
template <Isa I, class T>
QUIRE_INLINE float add_residual(const T* x, const T* residual, T* sum, int64_t width) {
  using V = Simd<I>;
  auto squares = V::zero();
  for_vectors<I>(width, [&](int64_t i, auto n) {
    const auto total = V::template round_to<T>(V::add(load_n<I>(x + i, n), load_n<I>(residual + i, n)));
    store_n<I>(sum + i, total, n);
    squares = V::fma(total, total, squares);
  });
  return V::sum(squares);
}

template <Isa I, class T>
QUIRE_INLINE float sum_of_squares(const T* x, int64_t width) {
  using V = Simd<I>;
  auto squares = V::zero();
  for_vectors<I>(width, [&](int64_t i, auto n) {
    const auto value = load_n<I>(x + i, n);
    squares = V::fma(value, value, squares);
  });
  return V::sum(squares);
}

template <Isa I, class T>
QUIRE_INLINE void scale_row(const T* x, const T* weight, T* out, int64_t width, float scale) {
  using V = Simd<I>;
  const auto factor = V::set(scale);
  for_vectors<I>(width, [&](int64_t i, auto n) {
    const auto normed = V::template round_to<T>(V::mul(load_n<I>(x + i, n), factor));
    store_n<I>(out + i, V::mul(normed, load_n<I>(weight + i, n)), n);
  });
}

template <Isa I>
void rms_norm_rows(const RmsNorm& args, int64_t begin, int64_t end) {
  with_dtype(args.dtype, [&]<class T>(T) {
    const int64_t width = args.width;
    for (int64_t row = begin; row < end; ++row) {
      const T* x = static_cast<const T*>(args.x) + row * width;
      float squares;
      if (args.residual) {
        T* sum = static_cast<T*>(args.sum) + row * width;
        squares = add_residual<I>(x, static_cast<const T*>(args.residual) + row * width, sum, width);
        x = sum;
      } else {
        squares = sum_of_squares<I>(x, width);
      }
      const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + args.eps);
      scale_row<I>(x, static_cast<const T*>(args.weight), static_cast<T*>(args.out) + row * width, width, scale);
    }
  });
}

}  // namespace quire
