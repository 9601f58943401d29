#include "kernels/attention/kv_store.h"

#include <cstring>

#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void store_kv(const StoreKv& args) {
  constexpr int64_t kTokensWorthAThread = 16;
  with_isa([&](auto isa) {
    parallel_ranges(args.tokens, kTokensWorthAThread,
                    [&](int64_t begin, int64_t end) { store_kv_tokens<isa()>(args, begin, end); });
  });
}

void copy_blocks(std::byte* kv, int64_t block_bytes, const int64_t* pairs, int64_t count) {
  parallel_items(count, [&](int64_t i) {
    std::memcpy(kv + pairs[2 * i + 1] * block_bytes, kv + pairs[2 * i] * block_bytes, block_bytes);
  });
}

}  // namespace quire
