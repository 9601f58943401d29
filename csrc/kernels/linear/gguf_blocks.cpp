#include "kernels/linear/gguf_blocks.h"

#include <algorithm>
#include <cstring>

#include "kernels/linear/linear_int4.h"
#include "kernels/simd/dtype.h"
#include "kernels/simd/panel.h"
#include "parallel.h"

namespace quire {

namespace {

struct BlockQ8_0 {
  Half scale;
  int8_t q[kGgufBlock];
};
static_assert(sizeof(BlockQ8_0) == 34);

struct BlockQ4_0 {
  Half scale;
  uint8_t pairs[kGgufBlock / 2];

  uint32_t nibble(int64_t i) const { return i < kGgufBlock / 2 ? pairs[i] & 15 : pairs[i - kGgufBlock / 2] >> 4; }
};
static_assert(sizeof(BlockQ4_0) == 18);

constexpr int64_t kUnits = kGgufBlock / 8;  // of eight inputs, for each output of a group

// One output's share of a group: linear_int4.h says where the numbers of a unit lie.
void put_block(const BlockQ4_0& block, std::byte* group, int64_t output) {
  for (int64_t u = 0; u < kUnits; ++u) {
    uint32_t unit = 0;
    for (int64_t i = 0; i < 8; ++i) unit |= block.nibble(8 * u + i) << (i % 4 * 8 + i / 4 * 4);
    std::memcpy(group + (u * kPanelColumns + output) * 4, &unit, 4);
  }
  std::memcpy(group + kUnits * kPanelColumns * 4 + output * sizeof(Half), &block.scale, sizeof(Half));
}

}  // namespace

void dequantize_q8_0(const DequantizeQ8_0& args) {
  constexpr int64_t kBlocksWorthAThread = 4096;
  parallel_ranges(args.count, kBlocksWorthAThread, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      BlockQ8_0 block;
      std::memcpy(&block, args.blocks + b * sizeof(block), sizeof(block));
      const float scale = to_float(block.scale);
      for (int64_t i = 0; i < kGgufBlock; ++i) args.out[b * kGgufBlock + i] = scale * block.q[i];
    }
  });
}

void pack_q4_0(const PackQ4_0& args) {
  const int64_t groups = args.inputs / kGgufBlock, group_bytes = int4_group_bytes(kGgufBlock);
  parallel_items((args.outputs + kPanelColumns - 1) / kPanelColumns, [&](int64_t panel) {
    std::byte* to = args.data + panel * groups * group_bytes;
    const int64_t first = panel * kPanelColumns, count = std::min(kPanelColumns, args.outputs - first);
    if (count < kPanelColumns) std::memset(to, 0, groups * group_bytes);
    for (int64_t output = 0; output < count; ++output) {
      for (int64_t g = 0; g < groups; ++g) {
        BlockQ4_0 block;
        std::memcpy(&block, args.blocks + ((first + output) * groups + g) * sizeof(block), sizeof(block));
        put_block(block, to + g * group_bytes, output);
      }
    }
  });
}

}  // namespace quire
