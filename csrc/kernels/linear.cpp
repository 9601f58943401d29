#include "kernels/linear.h"

#include <algorithm>

#include "kernels/scratch.h"
#include "kernels/simd.h"
#include "parallel.h"

namespace quire {

void linear(const Linear& args) {
  constexpr int64_t kChunkOutputs = 64;
  const int64_t chunks = (args.outputs + kChunkOutputs - 1) / kChunkOutputs;
  with_isa([&](auto isa) {
    parallel_items(chunks, [&](int64_t i) {
      float* sums = reinterpret_cast<float*>(thread_scratch(args.rows * kMaxTileOutputs * sizeof(float)));
      linear_outputs<isa()>(args, i * kChunkOutputs, std::min((i + 1) * kChunkOutputs, args.outputs), sums);
    });
  });
}

}  // namespace quire
