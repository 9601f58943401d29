#include "parallel.h"
#include "retrieval/hnsw/hnsw.h"

namespace quire::retrieval {
namespace {

// A row meets the rows of its own round one by one, which costs little up to a few hundred of them.
constexpr uint32_t kRoundFraction = 4, kMaxRound = 256;

// Fewer items than this are done sooner than another thread is woken.
constexpr size_t kWorthAThread = 16;

int threads_for(size_t num_items, int limit) {
  return static_cast<int>(std::clamp<size_t>(num_items / kWorthAThread, 1, limit));
}

uint32_t round_size(uint32_t num_slots) { return std::clamp(num_slots / kRoundFraction, uint32_t{1}, kMaxRound); }

}  // namespace

void Hnsw::link_rows(uint32_t begin, uint32_t end, int num_threads) {
  while (begin < end) {
    const uint32_t round_end = std::min(end, begin + round_size(begin));
    link_round(begin, round_end, num_threads);
    Entry entry = graph_->entry();
    for (uint32_t slot = begin; slot < round_end; ++slot) {
      const int level = graph_->node(slot).level;
      if (level > entry.level) entry = {slot, level};
    }
    graph_->publish(round_end, entry);
    begin = round_end;
  }
}

void Hnsw::link_round(uint32_t begin, uint32_t end, int num_threads) {
  if (graph_->entry().slot == kNone) return;  // the first row of all has nobody to link to
  std::vector<std::vector<Link>> links_of(end - begin);
  parallel_items(
      end - begin, [&](int64_t i) { link_slot(begin + static_cast<uint32_t>(i), begin, links_of[i]); },
      threads_for(end - begin, num_threads));
  std::vector<Link> back_links;
  for (const auto& links : links_of) back_links.insert(back_links.end(), links.begin(), links.end());
  link_back(back_links, num_threads);
}

// Chooses the neighbours of a row that nobody links to yet, among all rows before it.
void Hnsw::link_slot(uint32_t slot, uint32_t round_begin, std::vector<Link>& back_links) {
  const auto lease = states_.lease();
  WalkState& state = *lease;
  const Query query = codec_.as_query(codes_->row(slot));
  const Entry entry = graph_->entry();
  const uint32_t num_slots = graph_->num_slots();
  const int level = graph_->node(slot).level;
  Start start = descend(query, entry, level, num_slots, state);
  std::vector<uint32_t> chosen;
  for (int l = std::min(level, entry.level); l >= 0; --l) {
    walk(query, start, l, options_.ef_construction, num_slots, state);
    start = {state.beam[0].slot, state.beam[0].distance};
    const std::vector<Hit> candidates = link_candidates(slot, round_begin, l, state);
    chosen.clear();
    select(candidates, options_.M, chosen, state);
    graph_->links(slot, l).assign(chosen);
    for (const Hit& hit : candidates) {
      if (std::find(chosen.begin(), chosen.end(), hit.slot) == chosen.end()) continue;
      back_links.push_back({hit.slot, slot, hit.distance, l});
    }
  }
}

// What a walk left in the beam, and the rows of the same round before this one; nearest first.
std::vector<Hit> Hnsw::link_candidates(uint32_t slot, uint32_t round_begin, int level, WalkState& state) const {
  std::vector<uint32_t> mates;
  for (uint32_t mate = round_begin; mate < slot; ++mate) {
    if (graph_->node(mate).level >= level) mates.push_back(mate);
  }
  std::vector<Hit> candidates = by_distance(slot, mates, state);
  for (size_t i = 0; i < state.beam.size(); ++i) {
    if (state.beam[i].slot != slot) candidates.push_back(state.beam[i]);  // an orphan may still be linked to
  }
  const auto is_dead = [&](const Hit& hit) { return graph_->node(hit.slot).state == RowState::kDead; };
  // A deleted row is no good neighbour, but better than none.
  if (num_dead_ > 0 && !std::all_of(candidates.begin(), candidates.end(), is_dead)) std::erase_if(candidates, is_dead);
  std::sort(candidates.begin(), candidates.end());
  if (candidates.size() > static_cast<size_t>(options_.ef_construction)) candidates.resize(options_.ef_construction);
  return candidates;
}

// Links from the neighbours back to the new rows, target by target.
void Hnsw::link_back(std::vector<Link>& links, int num_threads) {
  std::sort(links.begin(), links.end(), [](const Link& a, const Link& b) {
    return std::tie(a.level, a.target, a.source) < std::tie(b.level, b.target, b.source);
  });
  std::vector<std::span<const Link>> groups;
  for (size_t begin = 0, end; begin < links.size(); begin = end) {
    for (end = begin;
         end < links.size() && links[end].target == links[begin].target && links[end].level == links[begin].level;)
      ++end;
    groups.emplace_back(&links[begin], end - begin);
  }
  parallel_items(
      static_cast<int64_t>(groups.size()),
      [&](int64_t i) {
        const auto lease = states_.lease();
        merge_links(groups[i], *lease);
      },
      threads_for(groups.size(), num_threads));
}

void Hnsw::merge_links(std::span<const Link> links, WalkState& state) {
  Links mine = graph_->links(links[0].target, links[0].level);
  const uint32_t num_mine = mine.size();
  if (num_mine + links.size() <= mine.capacity()) {
    for (const Link& link : links) mine.append(link.source);
    return;
  }
  std::vector<uint32_t> old(num_mine);
  for (uint32_t i = 0; i < num_mine; ++i) old[i] = mine.get(i);
  std::vector<Hit> candidates = by_distance(links[0].target, old, state);
  for (const Link& link : links) candidates.push_back({link.distance, link.source});
  // Equal vectors tie. In an order of each target's own, all of them stay linked to by somebody.
  const auto order = [&](const Hit& hit) {
    return std::pair(hit.distance, mix64(uint64_t{links[0].target} << 32 | hit.slot));
  };
  std::sort(candidates.begin(), candidates.end(), [&](const Hit& a, const Hit& b) { return order(a) < order(b); });
  std::vector<uint32_t> chosen;
  select(candidates, mine.capacity(), chosen, state);
  mine.assign(chosen);
}

// Adds candidates to those chosen already, by the diversity heuristic: nearest first, leaving out whoever is nearer to
// one chosen than to the row itself. REQUIRES: candidates nearest first.
void Hnsw::select(std::span<const Hit> candidates, size_t limit, std::vector<uint32_t>& chosen,
                  WalkState& state) const {
  constexpr int kBatch = 4;
  state.reserve_fanout(limit);
  for (size_t i = 0; i < chosen.size(); ++i) state.rows[i] = codes_->row(chosen[i]);
  for (const Hit& candidate : candidates) {
    if (chosen.size() >= limit) return;
    const uint8_t* row = codes_->row(candidate.slot);
    const Query query = codec_.as_query(row);
    bool is_diverse = true;
    for (size_t i = 0; i < chosen.size() && is_diverse; i += kBatch) {
      const int n = static_cast<int>(std::min<size_t>(kBatch, chosen.size() - i));
      codec_.distances(query, &state.rows[i], n, state.distances.data());
      for (int j = 0; j < n; ++j) is_diverse &= state.distances[j] >= candidate.distance;
    }
    if (!is_diverse) continue;
    state.rows[chosen.size()] = row;
    chosen.push_back(candidate.slot);
  }
}

}  // namespace quire::retrieval
