#include "kernels/linear/linear.h"

#include <algorithm>

#include "kernels/scratch.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

void linear(const Linear& args) {
  constexpr int64_t kWorthAThread = 16384;  // elements
  const int64_t chunks = (args.outputs + kChunkOutputs - 1) / kChunkOutputs;
  const int64_t blocks = (args.rows + kBlockRows - 1) / kBlockRows;
  with_isa([&](auto isa) {
    std::byte* packed = thread_scratch(args.rows * linear_row_bytes<isa()>(args.dtype, args.inputs));
    parallel_ranges(args.rows, kWorthAThread / std::max<int64_t>(args.inputs, 1) + 1,
                    [&](int64_t begin, int64_t end) { pack_linear_rows<isa()>(args, packed, begin, end); });
    // Block by block: x changes seldom, and the weight comes from the last-level cache but for the first time.
    parallel_items(blocks * chunks, [&](int64_t i) {
      const int64_t block = i / chunks, output = i % chunks * kChunkOutputs;
      const int64_t row = args.rows * block / blocks, end = args.rows * (block + 1) / blocks;
      linear_block<isa()>(args, packed, row, end - row, output, std::min(kChunkOutputs, args.outputs - output));
    });
  });
}

}  // namespace quire
