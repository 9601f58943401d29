#include "kernels/attention.h"

#include <algorithm>
#include <vector>

#include "kernels/simd.h"
#include "parallel.h"

namespace quire {

namespace {

constexpr int64_t kTileRows = 16;

// Later tiles of a prompt see more keys; they come first, so that the threads end together.
std::vector<AttentionTile> split_into_tiles(const PagedAttention& args) {
  const int64_t group = args.num_heads / args.num_kv_heads;
  const int64_t tile_tokens = std::max<int64_t>(kTileRows / group, 1);
  std::vector<AttentionTile> tiles;
  for (int64_t s = 0; s < args.num_sequences; ++s) {
    const int64_t begin = args.query_starts[s], end = args.query_starts[s + 1];
    for (int64_t last = end; last > begin; last -= std::min(tile_tokens, last - begin)) {
      const int64_t count = std::min(tile_tokens, last - begin);
      for (int64_t h = 0; h < args.num_kv_heads; ++h) tiles.push_back({s, h, last - count, count});
    }
  }
  return tiles;
}

}  // namespace

int64_t attention_scratch_floats(const PagedAttention& args, int64_t num_tokens) {
  const int64_t rows = num_tokens * (args.num_heads / args.num_kv_heads);
  return rows * (2 * args.head_dim + 2) + args.block_size;
}

void paged_attention(const PagedAttention& args) {
  const std::vector<AttentionTile> tiles = split_into_tiles(args);
  with_isa([&](auto isa) {
    parallel_items(static_cast<int64_t>(tiles.size()), [&](int64_t i) {
      thread_local std::vector<float> scratch;
      const size_t needed = attention_scratch_floats(args, tiles[i].num_tokens);
      if (scratch.size() < needed) scratch.resize(needed);
      attend_tile<isa()>(args, tiles[i], scratch.data());
    });
  });
}

}  // namespace quire
