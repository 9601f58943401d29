// The tokens of qkv.h over one instruction set.

#pragma once

#include "kernels/attention/kv_store.inl.h"
#include "kernels/rows/norm.inl.h"
#include "kernels/rows/qkv.h"
#include "kernels/rows/rope.inl.h"

namespace quire {

template <Isa I, class T>
QUIRE_INLINE void norm_heads(T* x, const void* weight, int64_t heads, int64_t head_dim, float eps) {
  if (!weight) return;
  for (int64_t h = 0; h < heads; ++h) {
    T* head = x + h * head_dim;
    const float scale = 1.0f / std::sqrt(sum_of_squares<I>(head, head_dim) / static_cast<float>(head_dim) + eps);
    scale_row<I>(head, static_cast<const T*>(weight), head, head_dim, scale);
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
