#include <algorithm>
#include <stdexcept>

#include "retrieval/hnsw/hnsw.h"

namespace quire::retrieval {
namespace {

void require(bool holds, const std::string& what, uint32_t slot) {
  if (!holds) throw std::logic_error("slot " + std::to_string(slot) + ": " + what);
}

void check_links(const Graph& graph, uint32_t slot, int level) {
  const Links links = graph.links(slot, level);
  const uint32_t size = links.size();
  std::vector<uint32_t> targets;
  for (uint32_t i = 0; i < size; ++i) targets.push_back(links.get(i));
  for (uint32_t i = size; i < links.capacity(); ++i) require(links.get(i) == kNone, "a link behind the last", slot);
  for (const uint32_t target : targets) {
    require(target != slot, "is linked to itself", slot);
    require(target < graph.num_slots(), "is linked to slot " + std::to_string(target) + ", which is not there", slot);
    require(graph.node(target).level >= level, "is linked to a slot below its level", slot);
  }
  std::sort(targets.begin(), targets.end());
  require(std::adjacent_find(targets.begin(), targets.end()) == targets.end(), "is linked to a slot twice", slot);
}

}  // namespace

void Hnsw::check_invariants() const {
  const std::lock_guard writer(writer_);
  const uint32_t num_slots = graph_->num_slots();
  const Entry entry = graph_->entry();
  uint32_t num_live = 0;
  for (uint32_t slot = 0; slot < num_slots; ++slot) {
    const Node& node = graph_->node(slot);
    require(node.level <= entry.level, "is above the entry", slot);
    require(node.first_upper_row + node.level <= graph_->num_upper_rows(), "has upper rows that are not there", slot);
    for (int level = 0; level <= node.level; ++level) check_links(*graph_, slot, level);
    if (!node.is_live()) continue;
    ++num_live;
    require(ids_.find(node.id) == slot, "has id " + std::to_string(node.id) + ", which leads elsewhere", slot);
  }
  require((entry.slot == kNone) == (num_slots == 0), "is the entry of an index of another size", entry.slot);
  if (num_slots > 0) require(graph_->node(entry.slot).level == entry.level, "is an entry of another level", entry.slot);
  require(num_live == ids_.size() && num_live + num_dead_ == num_slots, "live and dead slots do not add up", num_slots);
}

}  // namespace quire::retrieval
