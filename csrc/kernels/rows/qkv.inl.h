// The tokens of qkv.h over one instruction set.

#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/attention/kv_store.inl.h"
#include "kernels/rows/norm.inl.h"
#include "kernels/rows/qkv.h"
#include "kernels/rows/rope.inl.h"

namespace quire {

template <Isa I, class T>
QUIRE_INLINE void norm_heads(T* x, const void* weight, int64_t heads, int64_t head_dim, float eps) {
  if (!weight) return;
  // Sums of several heads first: a core works on them at once, where it would wait for each before scaling its head.
  constexpr int64_t kTogether = 8;
  for (int64_t first = 0; first < heads; first += kTogether) {
    const int64_t count = std::min(kTogether, heads - first);
    T* head = x + first * head_dim;
    float scales[kTogether];
    for (int64_t h = 0; h < count; ++h) {
      const float mean = sum_of_squares<I>(head + h * head_dim, head_dim) / static_cast<float>(head_dim);
      scales[h] = 1.0f / std::sqrt(mean + eps);
    }
    for (int64_t h = 0; h < count; ++h) {
      scale_row<I>(head + h * head_dim, static_cast<const T*>(weight), head + h * head_dim, head_dim, scales[h]);
    }
  }
}

template <Isa I>
void prepare_qkv_tokens(const PrepareQkv& args, int64_t begin, int64_t end) {
  const Rope& rope = args.rope;
  with_dtype(rope.dtype, [&]<class T>(T) {
    for (int64_t t = begin; t < end; ++t) {
      norm_heads<I>(static_cast<T*>(rope.q) + t * rope.q_stride, args.q_norm, rope.num_heads, rope.head_dim, args.eps);
      norm_heads<I>(static_cast<T*>(rope.k) + t * rope.k_stride, args.k_norm, rope.num_kv_heads, rope.head_dim,
                    args.eps);
      rope_tokens<I>(rope, t, t + 1);
      store_kv_tokens<I>(args.store, t, t + 1);
    }
  });
}

}  // namespace quire
