#include <cmath>
#include <numeric>
#include <shared_mutex>

#include "parallel.h"
#include "retrieval/hnsw/hnsw.h"

namespace quire::retrieval {
namespace {

// Up to this many bytes of float32 rows, comparing with all of them is as fast as a walk, and exact.
constexpr size_t kFlatBytes = 1 << 20;

// Rows to rank exactly for k hits: quantised order is wrong by a few places at most.
size_t num_to_rank(size_t k) { return k + std::max<size_t>(k, 16); }

void push_bounded(std::vector<Hit>& heap, Hit hit, size_t limit) {
  if (heap.size() == limit) {
    if (!(hit < heap.front())) return;
    std::pop_heap(heap.begin(), heap.end());
    heap.pop_back();
  }
  heap.push_back(hit);
  std::push_heap(heap.begin(), heap.end());
}

}  // namespace

// Which slots may be found. With `is_listed`, `slots` are all of them, few enough to compare with each.
struct Hnsw::Scope {
  Entry entry;
  uint32_t num_slots = 0;
  bool is_listed = false, is_everything = false;
  std::vector<uint32_t> slots;
  std::vector<uint8_t> slot_flags;    // from a list of ids
  std::span<const uint8_t> id_flags;  // from a bitmap
  const Graph* graph = nullptr;

  bool passes(uint32_t slot) const {
    const Node& node = graph->node(slot);
    if (!node.is_live()) return false;
    if (!slot_flags.empty()) return slot_flags[slot] != 0;
    if (id_flags.data() == nullptr) return true;
    return static_cast<uint64_t>(node.id) < id_flags.size() && id_flags[node.id] != 0;
  }
  std::vector<uint32_t> list() const {
    if (is_listed) return slots;
    std::vector<uint32_t> all;
    for (uint32_t slot = 0; slot < num_slots; ++slot) {
      if (passes(slot)) all.push_back(slot);
    }
    return all;
  }
};

Hnsw::Scope Hnsw::resolve(const IdFilter& filter, size_t ef) const {
  Scope scope;
  scope.graph = graph_.get();
  scope.entry = graph_->entry();  // before num_slots, which then covers it
  scope.num_slots = graph_->num_slots();
  // A walk computes about 16 distances for each of ef rows that pass, and must step over the ones that do not.
  const auto is_few = [&](uint64_t n) {
    return n * exact_codec_.row_bytes() <= kFlatBytes || n * n <= uint64_t{8} * ef * scope.num_slots;
  };
  const auto list_id = [&](int64_t id) {
    const auto slot = ids_.find(id);
    if (slot && *slot < scope.num_slots) scope.slots.push_back(*slot);
  };
  if (filter.kind == IdFilter::Kind::kAll) {
    scope.is_everything = num_dead_ == 0;
    if (scope.num_slots * exact_codec_.row_bytes() > kFlatBytes) return scope;
    scope.slots = scope.list();
    scope.is_listed = true;
  } else if (filter.kind == IdFilter::Kind::kBitmap) {
    scope.id_flags = filter.bitmap;
    const uint64_t num_set = std::accumulate(filter.bitmap.begin(), filter.bitmap.end(), uint64_t{0});
    scope.is_listed = is_few(num_set);
    for (size_t id = 0; scope.is_listed && id < filter.bitmap.size(); ++id) {
      if (filter.bitmap[id]) list_id(static_cast<int64_t>(id));
    }
  } else {
    for (const int64_t id : filter.ids) list_id(id);
    std::sort(scope.slots.begin(), scope.slots.end());
    scope.slots.erase(std::unique(scope.slots.begin(), scope.slots.end()), scope.slots.end());
    scope.is_listed = is_few(scope.slots.size());
    if (scope.is_listed) return scope;
    scope.slot_flags.resize(scope.num_slots);
    for (const uint32_t slot : scope.slots) scope.slot_flags[slot] = 1;
  }
  return scope;
}

std::vector<std::vector<Neighbour>> Hnsw::search(const float* queries, size_t num_queries, size_t k, size_t ef,
                                                 const IdFilter& filter, int num_threads) const {
  check_vectors(queries, num_queries, "query");
  std::vector<std::vector<Neighbour>> found(num_queries);
  const std::shared_lock lock(gate_);
  const Scope scope = resolve(filter, ef);
  parallel_items(
      static_cast<int64_t>(num_queries),
      [&](int64_t i) {
        const auto lease = states_.lease();
        found[i] = search_one(queries + i * options_.dim, k, std::max(ef, k), scope, *lease);
      },
      num_threads);
  return found;
}

// A copy of `query`, encoded and aligned, that lies in `room`.
const uint8_t* Hnsw::prepare_query(const float* query, const RowCodec& codec, std::vector<uint8_t>& room) const {
  constexpr size_t kLine = 64;
  room.resize(codec.row_bytes() + kLine);
  const auto address = reinterpret_cast<uintptr_t>(room.data());
  uint8_t* row = room.data() + (kLine - address % kLine) % kLine;
  codec.encode(query, row);
  return row;
}

std::vector<Neighbour> Hnsw::search_one(const float* query, size_t k, size_t ef, const Scope& scope,
                                        WalkState& state) const {
  state.unit.resize(options_.dim);
  normalise(query, state.unit.data());
  const Query exact = exact_codec_.as_query(prepare_query(state.unit.data(), exact_codec_, state.exact_query));
  state.found.clear();
  if (scope.is_listed) {
    scan(exact, scope.slots, k, state);
  } else if (scope.entry.slot != kNone) {
    const Query coded =
        codec_.type() == RowType::kF32 ? exact : codec_.as_query(prepare_query(state.unit.data(), codec_, state.query));
    const Start start = descend(coded, scope.entry, 0, scope.num_slots, state);
    if (scope.is_everything) {
      walk(coded, start, 0, ef, scope.num_slots, state);
      for (size_t i = 0; i < state.beam.size(); ++i) state.found.push_back(state.beam[i]);
    } else {
      walk_filtered(coded, start, ef, scope.num_slots, [&](uint32_t slot) { return scope.passes(slot); }, state);
      std::sort(state.found.begin(), state.found.end());
    }
    if (state.found.size() < k) {  // the walk met too few: there are no more, or none that it could reach
      scan(exact, scope.list(), k, state);
    } else {
      rank_exactly(exact, k, state);
    }
  }
  std::vector<Neighbour> nearest;
  for (size_t i = 0; i < std::min(k, state.found.size()); ++i) {
    nearest.push_back({graph_->node(state.found[i].slot).id, state.found[i].distance});
  }
  return nearest;
}

float Hnsw::distance_to(const Query& query, uint32_t slot) const {
  const uint8_t* row = codes_->row(slot);
  float distance;
  codec_.distances(query, &row, 1, &distance);
  return distance;
}

// Collects the neighbours of `slot` that were not visited; the rows of the first few are on their way.
uint32_t Hnsw::gather(uint32_t slot, int level, uint32_t num_slots, WalkState& state) const {
  constexpr uint32_t kAhead = 4;
  const Links links = graph_->links(slot, level);
  uint32_t n = 0;
  for (uint32_t i = 0; i < links.capacity(); ++i) {
    const uint32_t neighbour = links.get(i);
    if (neighbour == kNone) break;
    if (neighbour >= num_slots || !state.visited.insert(neighbour)) continue;
    const uint8_t* row = codes_->row(neighbour);
    if (n < kAhead) codec_.prefetch(row);
    state.slots[n] = neighbour;
    state.rows[n++] = row;
  }
  return n;
}

// From the entry down to `to_level`, always on to the nearest neighbour.
Hnsw::Start Hnsw::descend(const Query& query, Entry entry, int to_level, uint32_t num_slots, WalkState& state) const {
  state.reserve_fanout(2 * options_.M);
  Start at{entry.slot, distance_to(query, entry.slot)};
  for (int level = entry.level; level > to_level; --level) {
    state.visited.reset(num_slots);
    for (bool is_nearer = true; is_nearer;) {
      is_nearer = false;
      const uint32_t n = gather(at.slot, level, num_slots, state);
      codec_.distances(query, state.rows.data(), static_cast<int>(n), state.distances.data());
      for (uint32_t i = 0; i < n; ++i) {
        if (state.distances[i] >= at.distance) continue;
        at = {state.slots[i], state.distances[i]};
        is_nearer = true;
      }
    }
  }
  return at;
}

// Leaves the `ef` nearest rows that it met in state.beam.
void Hnsw::walk(const Query& query, Start start, int level, size_t ef, uint32_t num_slots, WalkState& state) const {
  Beam& beam = state.beam;
  beam.reset(ef);
  state.visited.reset(num_slots);
  state.visited.insert(start.slot);
  beam.insert(start.distance, start.slot);
  while (beam.has_next()) {
    const uint32_t n = gather(beam.expand_next(), level, num_slots, state);
    if (beam.has_next()) graph_->links(beam.peek(), level).prefetch();
    codec_.distances(query, state.rows.data(), static_cast<int>(n), state.distances.data());
    for (uint32_t i = 0; i < n; ++i) {
      if (beam.admits(state.distances[i])) beam.insert(state.distances[i], state.slots[i]);
    }
  }
}

// Leaves the `ef` nearest rows that pass in state.found, a heap. Walks over all rows until those are all nearer than
// the nearest one not expanded.
template <class Passes>
void Hnsw::walk_filtered(const Query& query, Start start, size_t ef, uint32_t num_slots, const Passes& passes,
                         WalkState& state) const {
  std::vector<Hit>& frontier = state.frontier;
  std::vector<Hit>& found = state.found;
  const auto farther = [](const Hit& a, const Hit& b) { return b < a; };
  state.visited.reset(num_slots);
  state.visited.insert(start.slot);
  frontier.assign(1, Hit{start.distance, start.slot});
  found.clear();
  if (passes(start.slot)) found.push_back(frontier[0]);
  while (!frontier.empty() && (found.size() < ef || frontier.front().distance <= found.front().distance)) {
    std::pop_heap(frontier.begin(), frontier.end(), farther);
    const uint32_t slot = frontier.back().slot;
    frontier.pop_back();
    const uint32_t n = gather(slot, 0, num_slots, state);
    codec_.distances(query, state.rows.data(), static_cast<int>(n), state.distances.data());
    for (uint32_t i = 0; i < n; ++i) {
      const Hit hit{state.distances[i], state.slots[i]};
      if (found.size() == ef && !(hit < found.front())) continue;
      frontier.push_back(hit);
      std::push_heap(frontier.begin(), frontier.end(), farther);
      if (passes(hit.slot)) push_bounded(found, hit, ef);
    }
  }
}

// Leaves the k nearest of `slots` in state.found, nearest first, by exact distance.
void Hnsw::scan(const Query& exact_query, std::span<const uint32_t> slots, size_t k, WalkState& state) const {
  constexpr size_t kBatch = 64;
  state.reserve_fanout(kBatch);
  state.found.clear();
  for (size_t begin = 0; begin < slots.size(); begin += kBatch) {
    const size_t n = std::min(kBatch, slots.size() - begin);
    for (size_t i = 0; i < n; ++i) state.rows[i] = vectors().row(slots[begin + i]);
    exact_codec_.distances(exact_query, state.rows.data(), static_cast<int>(n), state.distances.data());
    for (size_t i = 0; i < n; ++i) push_bounded(state.found, {state.distances[i], slots[begin + i]}, k);
  }
  std::sort_heap(state.found.begin(), state.found.end());
}

// Ranks the nearest of state.found by exact distance. REQUIRES: state.found is sorted.
void Hnsw::rank_exactly(const Query& exact_query, size_t k, WalkState& state) const {
  if (!vectors_) return;
  std::vector<Hit>& found = state.found;
  if (found.size() > num_to_rank(k)) found.resize(num_to_rank(k));
  state.reserve_fanout(found.size());
  for (size_t i = 0; i < found.size(); ++i) state.rows[i] = vectors_->row(found[i].slot);
  exact_codec_.distances(exact_query, state.rows.data(), static_cast<int>(found.size()), state.distances.data());
  for (size_t i = 0; i < found.size(); ++i) found[i].distance = state.distances[i];
  std::sort(found.begin(), found.end());
}

}  // namespace quire::retrieval
