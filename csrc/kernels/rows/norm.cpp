#include "kernels/rows/norm.h"

#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void rms_norm(const RmsNorm& args) {
  constexpr int64_t kWorthAThread = 8192;  // elements
  with_isa([&](auto isa) {
    parallel_ranges(args.rows, kWorthAThread / args.width + 1,
                    [&](int64_t begin, int64_t end) { rms_norm_rows<isa()>(args, begin, end); });
  });
}

}  // namespace quire
