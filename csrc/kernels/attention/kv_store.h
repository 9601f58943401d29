// The paged KV cache of one layer: what its rows hold, and writing new tokens into their slots.
//
// K and V are each [num_blocks, num_kv_heads, block_size, row], dense but for the stride between blocks. A row is one
// head of one token: head_dim elements of the activations' dtype, or, in an int8 cache, head_dim int8 and then the
// float32 by which they are multiplied (the row's largest magnitude / 127).
//
// A slot is block_id * block_size + offset. Slots of one call must differ.

#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct KvCache {
  std::byte* k;
  std::byte* v;
  int64_t k_block_stride;  // bytes
  int64_t v_block_stride;
  int64_t num_kv_heads;
  int64_t block_size;
  int64_t head_dim;
  DType dtype;  // of the activations
  bool is_int8;

  int64_t row_bytes() const { return is_int8 ? head_dim + sizeof(float) : head_dim * size_of(dtype); }
};

struct StoreKv {
  const void* k;  // [tokens, num_kv_heads, head_dim], rows k_stride elements apart
  const void* v;
  int64_t k_stride;
  int64_t v_stride;
  KvCache cache;
  const int64_t* slots;  // [tokens]
  int64_t tokens;
};

void store_kv(const StoreKv& args);

template <Isa I>
void store_kv_tokens(const StoreKv& args, int64_t begin, int64_t end);

// pairs: [count, 2] of (from, to) block ids; no block is both read and written in one call.
void copy_blocks(std::byte* kv, int64_t block_bytes, const int64_t* pairs, int64_t count);

}  // namespace quire
