// HNSW: approximate nearest neighbours by walking a layered proximity graph (Malkov & Yashunin 2018).
//
// A walk reads encoded rows (row_codec.h) and the graph (graph.h); what it finds is ranked again by the exact vectors
// where rows are quantised. Files of this class: hnsw (ids, deletion), hnsw_build (linking), hnsw_search, hnsw_compact,
// hnsw_file (saving, mapping), hnsw_check (invariants).
//
// Building is deterministic: rows are linked in rounds whose sizes depend on their count alone. In a round every new
// row walks the same finished graph and meets the rows of the round before it, in parallel; then the links back to the
// new rows are sorted by target and merged, in parallel, one target in one thread. The same calls with the same seed
// give the same graph on any number of threads.
//
// Thread safety: every public function. Writers take turns (writer_). Readers run beside a writer that links, and
// exclude one that changes what ids mean (gate_): a batch of queries sees deletions and updates all or none, and an
// addition round by round.
//
// Invariants (check_invariants): links of a slot on level l are distinct, not itself, below num_slots, of slots whose
// level is at least l; the entry is a slot of the highest level; ids_ holds exactly the slots that are not dead.

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "retrieval/distance/row_codec.h"
#include "retrieval/gate.h"
#include "retrieval/hnsw/graph.h"
#include "retrieval/hnsw/walk.h"
#include "retrieval/id_filter.h"
#include "retrieval/id_table.h"

namespace quire::retrieval {

class MappedFile;

struct HnswOptions {
  int dim;
  Metric metric;
  RowType type;
  int M;
  int ef_construction;
  int ef_search;
  uint64_t seed;
};

struct Neighbour {
  int64_t id;
  float distance;
};

struct HnswStats {
  uint64_t num_vectors, num_deleted;
  int max_level;
  double mean_degree;
  uint64_t ram_bytes, mapped_bytes;
};

class Hnsw {
 public:
  explicit Hnsw(const HnswOptions& options);
  ~Hnsw();

  const HnswOptions& options() const { return options_; }
  uint32_t size() const;
  bool contains(int64_t id) const;
  std::vector<int64_t> ids() const;
  // The vector of `id` (of length 1 for cosine). Throws InvalidInput for an unknown id.
  void copy_vector(int64_t id, float* out) const;

  // `count` ids in a row that were neither added nor claimed before; returns the first.
  int64_t claim_ids(uint32_t count);
  // `vectors` is [ids.size(), dim]. All or nothing: bad input changes nothing.
  void add(std::span<const int64_t> ids, const float* vectors, int num_threads);
  void update(std::span<const int64_t> ids, const float* vectors, int num_threads);
  void remove(std::span<const int64_t> ids);
  // Drops the rows of what was deleted or replaced, and mends the graph where it led through them.
  void compact(int num_threads);

  // The nearest min(k, how many pass the filter) for each query, nearest first; equally many for each.
  std::vector<std::vector<Neighbour>> search(const float* queries, size_t num_queries, size_t k, size_t ef,
                                             const IdFilter& filter, int num_threads) const;

  void save(const std::string& path) const;
  static std::unique_ptr<Hnsw> load(const std::string& path);
  // Reads the whole file; throws CorruptIndex where a checksum differs.
  static void verify(const std::string& path);

  HnswStats stats() const;
  // Throws std::logic_error naming the first broken invariant.
  void check_invariants() const;

 private:
  struct Link {
    uint32_t target, source;
    float distance;
    int level;
  };
  struct Scope;  // what a filter passes, resolved to slots

  // hnsw.cpp
  void append_rows(std::span<const int64_t> ids, const float* vectors, RowState state);
  void normalise(const float* vector, float* out) const;
  void check_vectors(const float* vectors, size_t num_vectors, const char* what) const;
  int draw_level(uint64_t number) const;

  // hnsw_build.cpp
  void link_rows(uint32_t begin, uint32_t end, int num_threads);
  void link_round(uint32_t begin, uint32_t end, int num_threads);
  void link_slot(uint32_t slot, uint32_t round_begin, std::vector<Link>& back_links);
  std::vector<Hit> link_candidates(uint32_t slot, uint32_t round_begin, int level, WalkState& state) const;
  void link_back(std::vector<Link>& links, int num_threads);
  void merge_links(std::span<const Link> links, WalkState& state);
  void select(std::span<const Hit> candidates, size_t limit, std::vector<uint32_t>& chosen, WalkState& state) const;

  // hnsw_compact.cpp
  uint32_t copy_row(const Hnsw& from, uint32_t slot);
  void mend_into(Hnsw& fresh, std::span<const uint32_t> new_slots, int num_threads) const;
  void mend_links(Hnsw& fresh, std::span<const uint32_t> new_slots, uint32_t slot, int level,
                  std::vector<Link>& back_links, WalkState& state) const;
  std::vector<Hit> near_links(uint32_t slot, int level, std::span<const uint32_t> kept, WalkState& state) const;
  std::vector<Hit> by_distance(uint32_t slot, std::span<const uint32_t> others, WalkState& state) const;
  void link_orphan(uint32_t slot);

  // hnsw_search.cpp
  struct Start {
    uint32_t slot;
    float distance;
  };
  Start descend(const Query& query, Entry entry, int to_level, uint32_t num_slots, WalkState& state) const;
  void walk(const Query& query, Start start, int level, size_t ef, uint32_t num_slots, WalkState& state) const;
  template <class Passes>
  void walk_filtered(const Query& query, Start start, size_t ef, uint32_t num_slots, const Passes& passes,
                     WalkState& state) const;
  uint32_t gather(uint32_t slot, int level, uint32_t num_slots, WalkState& state) const;
  std::vector<Neighbour> search_one(const float* query, size_t k, size_t ef, const Scope& scope,
                                    WalkState& state) const;
  void scan(const Query& exact_query, std::span<const uint32_t> slots, size_t k, WalkState& state) const;
  void rank_exactly(const Query& exact_query, size_t k, WalkState& state) const;
  Scope resolve(const IdFilter& filter, size_t ef) const;
  float distance_to(const Query& query, uint32_t slot) const;
  const uint8_t* prepare_query(const float* query, const RowCodec& codec, std::vector<uint8_t>& room) const;

  const ChunkedRows& vectors() const { return vectors_ ? *vectors_ : *codes_; }

  HnswOptions options_;
  RowCodec codec_, exact_codec_;
  std::unique_ptr<ChunkedRows> codes_;    // rows that walks read
  std::unique_ptr<ChunkedRows> vectors_;  // float32 rows; none where codes_ are float32
  std::unique_ptr<Graph> graph_;
  IdTable ids_;
  uint32_t num_dead_ = 0;   // rows that are not live
  uint64_t num_drawn_ = 0;  // levels drawn so far
  int64_t next_id_ = 0;     // above all ids added or claimed
  std::shared_ptr<MappedFile> file_;
  mutable WalkStates states_;
  mutable std::mutex writer_;
  mutable Gate gate_;
};

}  // namespace quire::retrieval
