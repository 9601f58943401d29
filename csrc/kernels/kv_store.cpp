#include "kernels/kv_store.h"

#include <cstring>

#include "parallel.h"

namespace quire {

namespace {

void store_token(const StoreKv& args, int64_t t) {
  const int64_t block = args.slots[t] / args.block_size, offset = args.slots[t] % args.block_size;
  for (int64_t h = 0; h < args.num_kv_heads; ++h) {
    const int64_t from = h * args.head_bytes, to = (h * args.block_size + offset) * args.head_bytes;
    std::memcpy(args.k_cache + block * args.k_block_stride + to, args.k + t * args.k_stride + from, args.head_bytes);
    std::memcpy(args.v_cache + block * args.v_block_stride + to, args.v + t * args.v_stride + from, args.head_bytes);
  }
}

}  // namespace

void store_kv(const StoreKv& args) {
  constexpr int64_t kTokensWorthAThread = 16;
  parallel_ranges(args.tokens, kTokensWorthAThread, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) store_token(args, t);
  });
}

void copy_blocks(std::byte* kv, int64_t block_bytes, const int64_t* pairs, int64_t count) {
  parallel_items(count, [&](int64_t i) {
    std::memcpy(kv + pairs[2 * i + 1] * block_bytes, kv + pairs[2 * i] * block_bytes, block_bytes);
  });
}

}  // namespace quire
