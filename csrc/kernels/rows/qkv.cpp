#include "kernels/rows/qkv.h"

#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void prepare_qkv(const PrepareQkv& args) {
  constexpr int64_t kTokensWorthAThread = 4;
  with_isa([&](auto isa) {
    parallel_ranges(args.rope.tokens, kTokensWorthAThread,
                    [&](int64_t begin, int64_t end) { prepare_qkv_tokens<isa()>(args, begin, end); });
  });
}

}  // namespace quire
