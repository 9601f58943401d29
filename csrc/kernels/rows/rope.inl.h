// The tokens of rope.h over one instruction set.

#pragma once

#include "kernels/rows/rope.h"
#include "kernels/simd/simd.h"

namespace quire {

template <Isa I, class T>
QUIRE_INLINE void rotate_head(T* x, const float* cos_sin, int64_t half) {
  using V = Simd<I>;
  for_vectors<I>(half, [&](int64_t i, auto n) {
    const auto cosine = load_n<I>(cos_sin + i, n), sine = load_n<I>(cos_sin + half + i, n);
    const auto first = load_n<I>(x + i, n), second = load_n<I>(x + half + i, n);
    store_n<I>(x + i, V::sub(V::mul(first, cosine), V::mul(second, sine)), n);
    store_n<I>(x + half + i, V::fma(second, cosine, V::mul(first, sine)), n);
  });
}

template <Isa I>
void rope_tokens(const Rope& args, int64_t begin, int64_t end) {
  with_dtype(args.dtype, [&]<class T>(T) {
    for (int64_t t = begin; t < end; ++t) {
      const float* cos_sin = args.cos_sin + args.positions[t] * args.head_dim;
      T* q = static_cast<T*>(args.q) + t * args.q_stride;
      T* k = static_cast<T*>(args.k) + t * args.k_stride;
      for (int64_t h = 0; h < args.num_heads; ++h) rotate_head<I>(q + h * args.head_dim, cos_sin, args.head_dim / 2);
      for (int64_t h = 0; h < args.num_kv_heads; ++h) rotate_head<I>(k + h * args.head_dim, cos_sin, args.head_dim / 2);
    }
  });
}

}  // namespace quire
