#include "retrieval/hnsw/graph.h"

namespace quire::retrieval {

Graph::Graph(int M)
    : ground_capacity_(2 * M),
      upper_capacity_(M),
      nodes_(sizeof(Node)),
      ground_(ground_capacity_ * sizeof(uint32_t)),
      upper_(upper_capacity_ * sizeof(uint32_t)),
      entry_(std::bit_cast<uint64_t>(Entry{})) {}

uint32_t Graph::append(int64_t id, int level) {
  const uint32_t slot = num_appended_;
  nodes_.reserve(slot + 1);
  ground_.reserve(slot + 1);
  upper_.reserve(num_upper_rows_ + level);
  node(slot) = {id, num_upper_rows_, static_cast<uint8_t>(level), RowState::kLive, 0};
  num_upper_rows_ += level;
  ++num_appended_;
  for (int l = 0; l <= level; ++l) links(slot, l).assign({});
  return slot;
}

void Graph::publish(uint32_t num_slots, Entry entry) {
  num_slots_.store(num_slots, std::memory_order_release);
  entry_.store(std::bit_cast<uint64_t>(entry), std::memory_order_release);
}

void Graph::map(const Tables& tables) {
  nodes_.map(tables.nodes, tables.num_slots);
  ground_.map(tables.ground, tables.num_slots);
  upper_.map(tables.upper, tables.num_upper_rows);
  num_appended_ = tables.num_slots;
  num_upper_rows_ = tables.num_upper_rows;
  publish(tables.num_slots, tables.entry);
}

}  // namespace quire::retrieval
