// The rows of layer_norm.h over one instruction set.

#pragma once

#include <cmath>

#include "kernels/encoder/layer_norm.h"
#include "kernels/simd/simd.h"

namespace quire {

// Writes x + residual to `sums`, in float32, and returns the mean.
template <Isa I, class T>
QUIRE_INLINE float add_rows(const T* x, const T* residual, float* sums, int64_t width) {
  using V = Simd<I>;
  auto total = V::zero();
  for_vectors<I>(width, [&](int64_t i, auto n) {
    auto sum = load_n<I>(x + i, n);
    if (residual) sum = V::add(sum, load_n<I>(residual + i, n));
    store_n<I>(sums + i, sum, n);
    total = V::add(total, sum);
  });
  return V::sum(total) / static_cast<float>(width);
}

// Leaves the distances from the mean in `sums` and returns their mean square.
template <Isa I>
QUIRE_INLINE float center(float* sums, int64_t width, float mean) {
  using V = Simd<I>;
  double squares = 0.0;
  auto acc = V::zero();
  for_vectors<I>(width, [&](int64_t i, auto n) {
    const auto value = load_n<I>(sums + i, n);
    if constexpr (std::is_same_v<decltype(n), int>) {  // the lanes beyond the row are no distances
      for (int j = 0; j < n; ++j) squares += (sums[i + j] - mean) * (sums[i + j] - mean);
      store_n<I>(sums + i, V::sub(value, V::set(mean)), n);
    } else {
      const auto distance = V::sub(value, V::set(mean));
      acc = V::fma(distance, distance, acc);
      V::store(sums + i, distance);
    }
  });
  return (static_cast<float>(squares) + V::sum(acc)) / static_cast<float>(width);
}

template <Isa I>
void layer_norm_rows(const LayerNorm& args, int64_t begin, int64_t end, float* sums) {
  using V = Simd<I>;
  with_dtype(args.dtype, [&]<class T>(T) {
    const int64_t width = args.width;
    const T* weight = static_cast<const T*>(args.weight);
    const T* bias = static_cast<const T*>(args.bias);
    for (int64_t row = begin; row < end; ++row) {
      const T* residual = args.residual ? static_cast<const T*>(args.residual) + row * width : nullptr;
      const float mean = add_rows<I>(static_cast<const T*>(args.x) + row * width, residual, sums, width);
      const float variance = center<I>(sums, width, mean);
      const auto scale = V::set(1.0f / std::sqrt(variance + args.eps));
      T* out = static_cast<T*>(args.out) + row * width;
      for_vectors<I>(width, [&](int64_t i, auto n) {
        const auto normed = V::mul(load_n<I>(sums + i, n), scale);
        store_n<I>(out + i, V::fma(normed, load_n<I>(weight + i, n), load_n<I>(bias + i, n)), n);
      });
    }
  });
}

}  // namespace quire
