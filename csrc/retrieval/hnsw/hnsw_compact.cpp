#include <algorithm>

#include "parallel.h"
#include "retrieval/hnsw/hnsw.h"

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

// Gives `fresh` the links of this graph. Dead neighbours make room for others that are near, who link back.
void Hnsw::mend_into(Hnsw& fresh, std::span<const uint32_t> new_slots, int num_threads) const {
  std::vector<std::vector<Link>> links_of(new_slots.size());
  parallel_items(
      static_cast<int64_t>(new_slots.size()),
      [&](int64_t i) {
        const auto slot = static_cast<uint32_t>(i);
        if (new_slots[slot] == kNone) return;
        const auto lease = states_.lease();
        for (int level = 0; level <= graph_->node(slot).level; ++level) {
          mend_links(fresh, new_slots, slot, level, links_of[slot], *lease);
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
  std::vector<Link> back_links;
  for (const auto& links : links_of) {
    std::copy_if(links.begin(), links.end(), std::back_inserter(back_links),
                 [&](const Link& link) { return !fresh.graph_->links(link.target, link.level).contains(link.source); });
  }
  fresh.link_back(back_links, num_threads);
  for (uint32_t slot = 0; slot < num_slots; ++slot) {
    if (fresh.graph_->links(slot, 0).size() == 0) fresh.link_orphan(slot);
  }
}

// The links of one slot; `back_links` are those that whoever is new among them should have to it.
void Hnsw::mend_links(Hnsw& fresh, std::span<const uint32_t> new_slots, uint32_t slot, int level,
                      std::vector<Link>& back_links, WalkState& state) const {
  std::vector<uint32_t> kept;
  const Links old = graph_->links(slot, level);
  const uint32_t num_old = old.size();
  for (uint32_t i = 0; i < num_old; ++i) {
    if (graph_->node(old.get(i)).is_live()) kept.push_back(old.get(i));
  }
  const size_t num_kept = kept.size();
  if (num_kept < num_old) {
    const std::vector<Hit> near = near_links(slot, level, kept, state);
    select(near, old.capacity(), kept, state);
    for (const Hit& hit : near) {
      if (kept.size() >= num_old) break;
      if (std::find(kept.begin(), kept.end(), hit.slot) == kept.end()) kept.push_back(hit.slot);
    }
    for (const Hit& hit : near) {
      if (std::find(kept.begin() + num_kept, kept.end(), hit.slot) == kept.end()) continue;
      back_links.push_back({new_slots[hit.slot], new_slots[slot], hit.distance, level});
    }
  }
  for (uint32_t& link : kept) link = new_slots[link];
  fresh.graph_->links(new_slots[slot], level).assign(kept);
}

// Live neighbours of all neighbours, but for `kept`, nearest first. Those of live ones too: a dead one may have kept
// some of them from being linked to.
std::vector<Hit> Hnsw::near_links(uint32_t slot, int level, std::span<const uint32_t> kept, WalkState& state) const {
  std::vector<uint32_t> beyond;
  const auto for_each_link = [&](uint32_t of, const auto& visit) {
    const Links links = graph_->links(of, level);
    for (uint32_t i = 0, n = links.size(); i < n; ++i) visit(links.get(i));
  };
  for_each_link(slot, [&](uint32_t near) { for_each_link(near, [&](uint32_t next) { beyond.push_back(next); }); });
  std::sort(beyond.begin(), beyond.end());
  beyond.erase(std::unique(beyond.begin(), beyond.end()), beyond.end());
  std::erase_if(beyond, [&](uint32_t of) {
    return of == slot || !graph_->node(of).is_live() || std::find(kept.begin(), kept.end(), of) != kept.end();
  });
  return by_distance(slot, beyond, state);
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
