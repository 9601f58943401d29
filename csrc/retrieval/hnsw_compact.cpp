#include <algorithm>

#include "parallel.h"
#include "retrieval/hnsw.h"

namespace quire::retrieval {

// A copy without the dead rows is made beside the readers, and takes the place of the old one at once.
void Hnsw::compact(int num_threads) {
  const std::lock_guard writer(writer_);
  if (num_dead_ == 0) return;
  Hnsw fresh(options_);
  std::vector<uint32_t> new_slots(graph_->num_slots(), kNone);
  for (uint32_t slot = 0; slot < new_slots.size(); ++slot) {
    if (graph_->node(slot).is_live()) new_slots[slot] = fresh.copy_row(*this, slot);
  }
  // Where most rows are gone there is too little left to mend from.
  if (num_dead_ > ids_.size()) {
    fresh.link_rows(0, fresh.ids_.size(), num_threads);
  } else {
    mend_into(fresh, new_slots, num_threads);
  }
  const std::lock_guard lock(gate_);
  codes_.swap(fresh.codes_);
  vectors_.swap(fresh.vectors_);
  graph_.swap(fresh.graph_);
  std::swap(ids_, fresh.ids_);
  file_.reset();
  num_dead_ = 0;
}

uint32_t Hnsw::copy_row(const Hnsw& from, uint32_t slot) {
  const Node& node = from.graph_->node(slot);
  const uint32_t copy = graph_->append(node.id, node.level);
  codes_->reserve(copy + 1);
  std::memcpy(codes_->row(copy), from.codes_->row(slot), codes_->row_bytes());
  if (vectors_) {
    vectors_->reserve(copy + 1);
    std::memcpy(vectors_->row(copy), from.vectors_->row(slot), vectors_->row_bytes());
  }
  ids_.set(node.id, copy);
  return copy;
}

// Gives `fresh` the links of this graph. Dead neighbours make room for others that are near.
void Hnsw::mend_into(Hnsw& fresh, std::span<const uint32_t> new_slots, int num_threads) const {
  parallel_items(
      static_cast<int64_t>(new_slots.size()),
      [&](int64_t i) {
        const auto slot = static_cast<uint32_t>(i);
        if (new_slots[slot] == kNone) return;
        const auto lease = states_.lease();
        for (int level = 0; level <= graph_->node(slot).level; ++level) {
          std::vector<uint32_t> links = mended_links(slot, level, *lease);
          for (uint32_t& link : links) link = new_slots[link];
          fresh.graph_->links(new_slots[slot], level).assign(links);
        }
      },
      num_threads);
  Entry entry;
  const uint32_t num_slots = fresh.ids_.size();
  for (uint32_t slot = 0; slot < num_slots; ++slot) {
    const int level = fresh.graph_->node(slot).level;
    if (level > entry.level) entry = {slot, level};
  }
  fresh.graph_->publish(num_slots, entry);
  for (uint32_t slot = 0; slot < num_slots; ++slot) {
    if (fresh.graph_->links(slot, 0).size() == 0) fresh.link_orphan(slot);
  }
}

std::vector<uint32_t> Hnsw::mended_links(uint32_t slot, int level, WalkState& state) const {
  const auto links_of = [&](uint32_t of) {
    const Links links = graph_->links(of, level);
    std::vector<uint32_t> slots(links.size());
    for (uint32_t i = 0; i < slots.size(); ++i) slots[i] = links.get(i);
    return slots;
  };
  const auto is_dead = [&](uint32_t of) { return !graph_->node(of).is_live(); };
  const std::vector<uint32_t> old = links_of(slot);
  std::vector<uint32_t> kept, beyond;
  std::remove_copy_if(old.begin(), old.end(), std::back_inserter(kept), is_dead);
  if (kept.size() == old.size()) return kept;
  // Also the neighbours of those that stay: a dead one may have kept some of them from being linked to.
  for (const uint32_t neighbour : old) {
    const std::vector<uint32_t> next = links_of(neighbour);
    beyond.insert(beyond.end(), next.begin(), next.end());
  }
  std::sort(beyond.begin(), beyond.end());
  beyond.erase(std::unique(beyond.begin(), beyond.end()), beyond.end());
  std::erase_if(beyond, [&](uint32_t of) {
    return of == slot || is_dead(of) || std::find(kept.begin(), kept.end(), of) != kept.end();
  });
  select(by_distance(slot, beyond, state), graph_->links(slot, level).capacity(), kept, state);
  return kept;
}

std::vector<Hit> Hnsw::by_distance(uint32_t slot, std::span<const uint32_t> others, WalkState& state) const {
  state.reserve_fanout(others.size());
  for (size_t i = 0; i < others.size(); ++i) state.rows[i] = codes_->row(others[i]);
  codec_.distances(codec_.as_query(codes_->row(slot)), state.rows.data(), static_cast<int>(others.size()),
                   state.distances.data());
  std::vector<Hit> hits;
  for (size_t i = 0; i < others.size(); ++i) hits.push_back({state.distances[i], others[i]});
  std::sort(hits.begin(), hits.end());
  return hits;
}

// Finds neighbours for a published row that lost all of its own.
void Hnsw::link_orphan(uint32_t slot) {
  std::vector<Link> back_links;
  link_slot(slot, graph_->num_slots(), back_links);
  link_back(back_links, 1);
}

}  // namespace quire::retrieval
