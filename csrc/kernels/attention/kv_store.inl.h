// The tokens of kv_store.h over one instruction set.

#pragma once

#include <cstring>

#include "kernels/attention/kv_store.h"
#include "kernels/linear/quantized_rows.inl.h"

namespace quire {

template <Isa I, class T>
QUIRE_INLINE void store_row(const KvCache& cache, const T* x, std::byte* row) {
  if (!cache.is_int8) {
    std::memcpy(row, x, cache.row_bytes());
    return;
  }
  const float largest = largest_magnitude<I>(x, cache.head_dim), scale = largest / 127.0f;
  round_to_int8<I>(x, whole_factor(127.0f, largest), cache.head_dim, reinterpret_cast<int8_t*>(row));
  std::memcpy(row + cache.head_dim, &scale, sizeof(scale));
}

template <Isa I>
void store_kv_tokens(const StoreKv& args, int64_t begin, int64_t end) {
  const KvCache& cache = args.cache;
  with_dtype(cache.dtype, [&]<class T>(T) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t block = args.slots[t] / cache.block_size, offset = args.slots[t] % cache.block_size;
      for (int64_t h = 0; h < cache.num_kv_heads; ++h) {
        const int64_t from = h * cache.head_dim, to = (h * cache.block_size + offset) * cache.row_bytes();
        store_row<I>(cache, static_cast<const T*>(args.k) + t * args.k_stride + from,
                     cache.k + block * cache.k_block_stride + to);
        store_row<I>(cache, static_cast<const T*>(args.v) + t * args.v_stride + from,
                     cache.v + block * cache.v_block_stride + to);
      }
    }
  });
}

}  // namespace quire
