#include "kernels/rows/rope.h"

#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void rope(const Rope& args) {
  constexpr int64_t kWorthAThread = 8192;  // elements
  const int64_t per_token = (args.num_heads + args.num_kv_heads) * args.head_dim;
  with_isa([&](auto isa) {
    parallel_ranges(args.tokens, kWorthAThread / per_token + 1,
                    [&](int64_t begin, int64_t end) { rope_tokens<isa()>(args, begin, end); });
  });
}

}  // namespace quire
