#include "kernels/encoder/layer_norm.h"

#include "kernels/scratch.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void layer_norm(const LayerNorm& args) {
  constexpr int64_t kWorthAThread = 8192;  // elements
  with_isa([&](auto isa) {
    parallel_ranges(args.rows, kWorthAThread / args.width + 1, [&](int64_t begin, int64_t end) {
      float* sums = reinterpret_cast<float*>(thread_scratch(args.width * sizeof(float)));
      layer_norm_rows<isa()>(args, begin, end, sums);
    });
  });
}

}  // namespace quire
