#include "kernels/encoder/nonlinearity.h"

#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void apply_nonlinearity(const ApplyNonlinearity& args) {
  constexpr int64_t kWorthAThread = 4096;  // elements
  with_isa([&](auto isa) {
    parallel_ranges(args.size, kWorthAThread,
                    [&](int64_t begin, int64_t end) { apply_nonlinearity_range<isa()>(args, begin, end); });
  });
}

}  // namespace quire
