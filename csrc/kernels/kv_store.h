// Writing the paged KV cache: new tokens into their slots, and whole blocks onto others (copy on write).
//
// One layer's cache is [num_blocks, num_kv_heads, block_size, head_dim], dense but for the stride between blocks.
// A slot is block_id * block_size + offset. Slots of one call must differ.

#pragma once

#include <cstddef>
#include <cstdint>

namespace quire {

struct StoreKv {
  const std::byte* k;  // [tokens, num_kv_heads, head_dim], rows k_stride bytes apart
  const std::byte* v;
  int64_t k_stride;
  int64_t v_stride;
  std::byte* k_cache;
  std::byte* v_cache;
  int64_t k_block_stride;  // bytes
  int64_t v_block_stride;
  const int64_t* slots;  // [tokens]
  int64_t tokens;
  int64_t num_kv_heads;
  int64_t block_size;
  int64_t head_bytes;  // head_dim elements
};

void store_kv(const StoreKv& args);

// pairs: [count, 2] of (from, to) block ids; no block is both read and written in one call.
void copy_blocks(std::byte* kv, int64_t block_bytes, const int64_t* pairs, int64_t count);

}  // namespace quire
