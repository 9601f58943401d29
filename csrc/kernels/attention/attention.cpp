#include "kernels/attention/attention.h"

#include <vector>

#include "kernels/scratch.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

int64_t attention_scratch_bytes(int64_t max_rows, int64_t head_dim) {
  const int64_t width = (head_dim + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
  // A packed query takes two widths at most, its sums one.
  const int64_t per_row = 3 * width + 2 * kKeyPanel + 3;
  constexpr int64_t kPieces = 8, kAlignment = 64;
  return (max_rows * per_row + kKeyPanel * (head_dim + width)) * sizeof(float) + kPieces * kAlignment;
}

void paged_attention(const PagedAttention& args, AttentionPlans& plans) {
  const AttentionPlan& plan = plans.plan(args.layout, args.group(), args.cache.num_kv_heads, max_threads());
  const int64_t scratch_bytes = attention_scratch_bytes(plan.max_queries * args.group(), args.cache.head_dim);
  std::vector<PartialRow> partials(plan.num_slots * args.num_heads);
  Scratch partial_outs(plan.num_slots * args.num_heads * args.cache.head_dim * sizeof(float));
  with_isa([&](auto isa) {
    parallel_items(plan.tiles.size() * args.cache.num_kv_heads, [&](int64_t i) {
      attend_tile<isa()>(args, plan, plan.tiles[i / args.cache.num_kv_heads], i % args.cache.num_kv_heads,
                         partials.data(), partial_outs.as<float>(), thread_scratch(scratch_bytes));
    });
    constexpr int64_t kMergesWorthAThread = 4;
    parallel_ranges(plan.merges.size(), kMergesWorthAThread, [&](int64_t begin, int64_t end) {
      merge_partials<isa()>(args, plan, begin, end, partials.data(), partial_outs.as<float>());
    });
  });
}

}  // namespace quire
