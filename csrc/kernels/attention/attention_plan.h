// Which queries read which keys together: the tiles of one attention call.
//
// Invariant: for every query, the key ranges of the tiles that hold it are disjoint and cover all the keys it sees.
//
// A tile's queries read one run of blocks together. A prompt's queries are cut into tiles of up to kTileRows rows. Rows
// of sequences with few queries (decodes) whose block tables begin alike form one tile over the blocks they share, so
// those blocks come from memory once, however many sequences share them; the sharing is found as a tree, so a system
// prompt shared by all and a document shared by some are both read once. Ranges are cut further while there are fewer
// tiles than threads.

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

namespace quire {

struct AttentionLayout {
  const int32_t* block_tables;  // [num_sequences, table_width]
  const int32_t* context_lens;  // [num_sequences], counting the queries
  const int32_t* query_starts;  // [num_sequences + 1]
  int64_t table_width;
  int64_t num_sequences;
  int64_t block_size;
  int64_t window;  // at least 1; INT64_MAX sees everything before
};

struct AttentionQuery {
  int32_t token;     // row of q and out
  int32_t position;  // in its sequence
};

struct AttentionTile {
  int64_t first_query;  // plan.queries[first_query, first_query + num_queries)
  int64_t num_queries;
  const int32_t* blocks;  // table of one of the sequences; they agree on [from, to)
  int64_t from;           // keys
  int64_t to;
  int64_t first_slot;  // of the partial results, one slot per query; unused where is_whole
  bool is_whole;       // no other tile holds these queries
};

struct AttentionMerge {
  int32_t token;
  int64_t first;  // plan.merge_slots[first, first + count)
  int64_t count;
};

struct AttentionPlan {
  std::vector<AttentionQuery> queries;
  std::vector<AttentionTile> tiles;  // the most work first
  std::vector<AttentionMerge> merges;
  std::vector<int64_t> merge_slots;
  int64_t num_slots = 0;
  int64_t max_queries = 0;  // of a tile
};

// Keys are read in panels of this many, so a shared range shorter than this is not worth a tile of its own.
constexpr int64_t kKeyPanel = 64;

AttentionPlan plan_attention(const AttentionLayout& layout, int64_t group, int64_t num_kv_heads, int64_t num_threads);

// The plans of one step: layers of the same heads and window share one, made when the first of them asks.
// Invariant: between two calls of `clear`, everyone asks about the same arrays with the same numbers in them.
class AttentionPlans {
 public:
  void clear() { plans_.clear(); }

  // Valid until `clear`.
  const AttentionPlan& plan(const AttentionLayout& layout, int64_t group, int64_t num_kv_heads, int64_t num_threads);

 private:
  using Key = std::array<int64_t, 4>;
  std::map<Key, AttentionPlan> plans_;
};

}  // namespace quire
