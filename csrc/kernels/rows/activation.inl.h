// The rows of activation.h over one instruction set.

#pragma once

#include "kernels/rows/activation.h"
#include "kernels/simd/simd.h"

namespace quire {

template <Isa I>
QUIRE_INLINE auto silu(typename Simd<I>::F x) {
  using V = Simd<I>;
  return V::div(x, V::add(V::set(1.0f), V::exp(V::sub(V::zero(), x))));
}

template <Isa I>
void silu_mul_rows(const SiluMul& args, int64_t begin, int64_t end) {
  using V = Simd<I>;
  with_dtype(args.dtype, [&]<class T>(T) {
    for (int64_t row = begin; row < end; ++row) {
      const T* gate = static_cast<const T*>(args.x) + row * 2 * args.width;
      const T* up = gate + args.width;
      T* out = static_cast<T*>(args.out) + row * args.width;
      for_vectors<I>(args.width, [&](int64_t i, auto n) {
        store_n<I>(out + i, V::mul(silu<I>(load_n<I>(gate + i, n)), load_n<I>(up + i, n)), n);
      });
    }
  });
}

}  // namespace quire
