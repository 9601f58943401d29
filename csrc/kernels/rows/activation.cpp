#include "kernels/rows/activation.h"

#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void silu_mul(const SiluMul& args) {
  constexpr int64_t kWorthAThread = 4096;  // elements
  with_isa([&](auto isa) {
    parallel_ranges(args.rows, kWorthAThread / args.width + 1,
                    [&](int64_t begin, int64_t end) { silu_mul_rows<isa()>(args, begin, end); });
  });
}

}  // namespace quire
