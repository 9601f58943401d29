// Attention of a step's queries over the paged KV cache: prefill chunks and decode rows mixed in one call.
//
// Sequence s owns the query tokens [query_starts[s], query_starts[s+1]), which are the last of its context_lens[s]
// tokens; the KV of all of them is already in the cache, at the blocks of row s of block_tables. A query at position p
// sees the positions j with p - window < j <= p.
// Over an int8 cache the products are taken with the integers, and the scales of the rows enter the scores and weights.
//
// The work is cut into tiles (attention_plan.h): some queries, all the query heads of one KV head, a range of keys. A
// tile reads its K and V once. Where the keys of a query lie in several tiles, each leaves a partial result, and the
// partial results are merged by their log-sum-exp. Scores, sums and merging are float32; the softmax is computed
// online.

#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu_features.h"
#include "kernels/attention/attention_plan.h"
#include "kernels/attention/kv_store.h"

namespace quire {

struct PagedAttention {
  const void* q;  // [tokens, num_heads, head_dim], rows q_stride elements apart
  int64_t q_stride;
  void* out;  // [tokens, num_heads, head_dim], contiguous
  KvCache cache;
  AttentionLayout layout;
  int64_t num_heads;  // a multiple of the cache's
  float scale;

  int64_t group() const { return num_heads / cache.num_kv_heads; }
};

void paged_attention(const PagedAttention& args, AttentionPlans& plans);

// What a query head knows after some of its keys: the softmax-weighted sum of V is out / total.
struct PartialRow {
  float largest;  // score, -inf where no key was seen
  float total;    // of exp(score - largest)
};

// One tile, one KV head. `partials` (rows, then head_dim floats each in `partial_outs`) receives the results of a tile
// that has a slot; others write to args.out. `scratch` is attention_scratch_bytes() long and 64-byte aligned.
template <Isa I>
void attend_tile(const PagedAttention& args, const AttentionPlan& plan, const AttentionTile& tile, int64_t kv_head,
                 PartialRow* partials, float* partial_outs, std::byte* scratch);

// Merges the partial results of plan.merges[begin, end) into args.out.
template <Isa I>
void merge_partials(const PagedAttention& args, const AttentionPlan& plan, int64_t begin, int64_t end,
                    const PartialRow* partials, const float* partial_outs);

int64_t attention_scratch_bytes(int64_t max_rows, int64_t head_dim);

}  // namespace quire
