#include "kernels/attention/attention_plan.h"

#include <algorithm>
#include <numeric>

namespace quire {

namespace {

constexpr int64_t kTileRows = 96;
constexpr int64_t kFewRows = 32;        // a sequence with fewer gains from sharing its tiles
constexpr int64_t kMinSplitKeys = 256;  // a shorter range is not cut for the sake of more threads
constexpr int64_t kTilesPerThread = 2;

class Planner {
 public:
  Planner(const AttentionLayout& layout, int64_t group) : layout_(layout), group_(group) {}

  AttentionPlan plan(int64_t num_kv_heads, int64_t num_threads) {
    std::vector<int64_t> few;
    for (int64_t s = 0; s < layout_.num_sequences; ++s) {
      if (num_queries(s) == 0) continue;
      const bool may_share = num_queries(s) * group_ < kFewRows && layout_.window > layout_.context_lens[s];
      if (may_share) {
        few.push_back(s);
      } else {
        add_prompt(s);
      }
    }
    if (!few.empty()) share(few, 0);
    if (num_threads > 1) split_keys(num_kv_heads, num_threads);
    find_merges();
    std::stable_sort(plan_.tiles.begin(), plan_.tiles.end(), [](const auto& a, const auto& b) {
      return (a.to - a.from) * a.num_queries > (b.to - b.from) * b.num_queries;
    });
    return std::move(plan_);
  }

 private:
  int64_t num_queries(int64_t s) const { return layout_.query_starts[s + 1] - layout_.query_starts[s]; }
  const int32_t* table(int64_t s) const { return layout_.block_tables + s * layout_.table_width; }
  int64_t full_blocks(int64_t s) const { return layout_.context_lens[s] / layout_.block_size; }

  void add_query(int64_t s, int64_t i) {
    plan_.queries.push_back({static_cast<int32_t>(layout_.query_starts[s] + i),
                             static_cast<int32_t>(layout_.context_lens[s] - num_queries(s) + i)});
  }

  void add_tile(int64_t first_query, const int32_t* blocks, int64_t from, int64_t to) {
    const int64_t count = static_cast<int64_t>(plan_.queries.size()) - first_query;
    plan_.tiles.push_back({first_query, count, blocks, from, to, 0, true});
    plan_.max_queries = std::max(plan_.max_queries, count);
  }

  // Tiles over the queries of one sequence, each with just the keys that its queries see.
  void add_prompt(int64_t s, int64_t from_key = 0) {
    const int64_t count = num_queries(s), step = std::max<int64_t>(kTileRows / group_, 1);
    for (int64_t begin = 0; begin < count; begin += step) {
      const int64_t first_query = plan_.queries.size(), end = std::min(begin + step, count);
      for (int64_t i = begin; i < end; ++i) add_query(s, i);
      const int64_t first = plan_.queries[first_query].position;
      const int64_t from = std::max(from_key, first - std::min(first, layout_.window - 1));
      add_tile(first_query, table(s), from, plan_.queries.back().position + 1);
    }
  }

  // Tiles over the queries of several sequences that share the blocks of [from, to).
  void add_shared(const std::vector<int64_t>& members, int64_t from, int64_t to) {
    const int64_t max_queries = std::max<int64_t>(kTileRows / group_, 1);
    int64_t first_query = plan_.queries.size();
    for (int64_t s : members) {
      for (int64_t i = 0; i < num_queries(s); ++i) {
        if (static_cast<int64_t>(plan_.queries.size()) - first_query == max_queries) {
          add_tile(first_query, table(members[0]), from, to);
          first_query = plan_.queries.size();
        }
        add_query(s, i);
      }
    }
    add_tile(first_query, table(members[0]), from, to);
  }

  int64_t common_blocks(const std::vector<int64_t>& members, int64_t from) const {
    int64_t common = full_blocks(members[0]);
    for (int64_t s : members) common = std::min(common, full_blocks(s));
    const int32_t* first = table(members[0]);
    for (int64_t s : members) {
      common = from + (std::mismatch(first + from, first + common, table(s) + from).first - (first + from));
    }
    return common;
  }

  // Members agree on the blocks before `from`, and those are covered up to there already.
  void share(const std::vector<int64_t>& members, int64_t from) { share(members, from, from); }

  // Members agree on the blocks before `known`; the blocks before `from` are covered.
  void share(std::vector<int64_t> members, int64_t from, int64_t known) {
    if (members.size() == 1) return add_prompt(members[0], from * layout_.block_size);
    const int64_t common = common_blocks(members, known);
    if ((common - from) * layout_.block_size >= kKeyPanel) {
      add_shared(members, from * layout_.block_size, common * layout_.block_size);
      from = common;
    }
    // Those with no further full block stand alone; the others part by their next block.
    const auto next = [&](int64_t s) { return full_blocks(s) > common ? table(s)[common] : -1; };
    std::stable_sort(members.begin(), members.end(), [&](int64_t a, int64_t b) { return next(a) < next(b); });
    for (size_t i = 0, end = 0; i < members.size(); i = end) {
      end = i + 1;
      while (next(members[i]) >= 0 && end < members.size() && next(members[end]) == next(members[i])) ++end;
      share(std::vector<int64_t>(members.begin() + i, members.begin() + end), from, common);
    }
  }

  void split_keys(int64_t num_kv_heads, int64_t num_threads) {
    const int64_t items = plan_.tiles.size() * num_kv_heads, wanted = kTilesPerThread * num_threads;
    if (items == 0 || items >= wanted) return;
    const int64_t pieces = (wanted + items - 1) / items;
    std::vector<AttentionTile> tiles;
    for (const AttentionTile& tile : plan_.tiles) {
      const int64_t keys = tile.to - tile.from;
      const int64_t count = std::clamp<int64_t>(keys / kMinSplitKeys, 1, pieces);
      for (int64_t i = 0; i < count; ++i) {
        AttentionTile piece = tile;
        piece.from = tile.from + keys * i / count;
        piece.to = tile.from + keys * (i + 1) / count;
        tiles.push_back(piece);
      }
    }
    plan_.tiles = std::move(tiles);
  }

  // Gives slots to the tiles whose queries lie in several tiles, and lists each such query's slots.
  void find_merges() {
    const int64_t num_tokens = layout_.num_sequences == 0 ? 0 : layout_.query_starts[layout_.num_sequences];
    std::vector<int32_t> parts(num_tokens, 0);
    for_tile_queries([&](AttentionTile&, int64_t, int32_t token) { ++parts[token]; });
    std::vector<int64_t> next_slot(num_tokens);
    for (int32_t token = 0; token < num_tokens; ++token) {
      next_slot[token] = plan_.merge_slots.size();
      if (parts[token] < 2) continue;
      plan_.merges.push_back({token, next_slot[token], parts[token]});
      plan_.merge_slots.resize(plan_.merge_slots.size() + parts[token]);
    }
    for_tile_queries([&](AttentionTile& tile, int64_t i, int32_t token) {
      if (parts[token] < 2) return;
      if (tile.is_whole) {
        tile.is_whole = false;
        tile.first_slot = plan_.num_slots;
        plan_.num_slots += tile.num_queries;
      }
      plan_.merge_slots[next_slot[token]++] = tile.first_slot + i;
    });
  }

  template <class Body>
  void for_tile_queries(Body&& body) {
    for (AttentionTile& tile : plan_.tiles) {
      for (int64_t i = 0; i < tile.num_queries; ++i) body(tile, i, plan_.queries[tile.first_query + i].token);
    }
  }

  const AttentionLayout& layout_;
  const int64_t group_;
  AttentionPlan plan_;
};

}  // namespace

AttentionPlan plan_attention(const AttentionLayout& layout, int64_t group, int64_t num_kv_heads, int64_t num_threads) {
  return Planner(layout, group).plan(num_kv_heads, num_threads);
}

const AttentionPlan& AttentionPlans::plan(const AttentionLayout& layout, int64_t group, int64_t num_kv_heads,
                                          int64_t num_threads) {
  const Key key{layout.window, group, num_kv_heads, num_threads};
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;
  return plans_.emplace(key, plan_attention(layout, group, num_kv_heads, num_threads)).first->second;
}

}  // namespace quire
