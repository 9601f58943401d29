// Attention of a step's queries over the paged KV cache: prefill chunks and decode rows mixed in one call.
//
// Sequence s owns the query tokens [query_starts[s], query_starts[s+1]), which are the last of its context_lens[s]
// tokens; the KV of all of them is already in the cache, at the blocks of row s of block_tables. A query at position p
// sees the positions j with p - window < j <= p.
//
// Scores and sums are float32; the softmax is computed online, so no row of scores is ever held whole.

#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu_features.h"
#include "kernels/dtype.h"

namespace quire {

struct PagedAttention {
  const void* q;  // [tokens, num_heads, head_dim], rows q_stride elements apart
  int64_t q_stride;
  void* out;                 // [tokens, num_heads, head_dim], contiguous
  const std::byte* k_cache;  // [num_blocks, num_kv_heads, block_size, head_dim], blocks k_block_stride bytes apart
  const std::byte* v_cache;
  int64_t k_block_stride;
  int64_t v_block_stride;
  const int32_t* block_tables;  // [num_sequences, table_width]
  const int32_t* context_lens;  // [num_sequences]
  const int32_t* query_starts;  // [num_sequences + 1]
  int64_t table_width;
  int64_t num_sequences;
  int64_t num_heads;  // a multiple of num_kv_heads
  int64_t num_kv_heads;
  int64_t head_dim;
  int64_t block_size;
  int64_t window;  // at least 1; INT64_MAX sees everything before
  float scale;
  DType dtype;
};

// Some queries of one sequence and all the query heads of one KV head: the rows that share a pass over K and V.
struct AttentionTile {
  int64_t sequence;
  int64_t kv_head;
  int64_t first_token;  // of the step, as are the rows of q
  int64_t num_tokens;
};

void paged_attention(const PagedAttention& args);

// `scratch` holds attention_scratch_floats(...) floats.
int64_t attention_scratch_floats(const PagedAttention& args, int64_t num_tokens);

template <Isa I>
void attend_tile(const PagedAttention& args, const AttentionTile& tile, float* scratch);

}  // namespace quire
