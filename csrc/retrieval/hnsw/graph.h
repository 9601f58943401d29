// The layered graph of an HNSW index: who is whose neighbour, on which level.
//
//   slot       0, 1, 2 …: a row of every table here and of the vectors; never reused
//   level 0    every slot: up to 2M links, a list ended by kNone where it is shorter
//   level l    the slots whose level is at least l: up to M links; the rows for levels 1 … level lie together
//
// One writer; readers walk meanwhile. A list is rewritten link by link, so a reader may see some links of before and
// some of after, each of them the slot of a row that is complete. Rows are published by num_slots: a reader takes it
// once, and passes over links to slots at or above it.

#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "retrieval/hnsw/chunked_rows.h"

namespace quire::retrieval {

constexpr uint32_t kNone = 0xffffffff;
constexpr int kMaxLevel = 30;

enum class RowState : uint8_t {
  kLive,
  kDead,    // deleted or replaced: only walked through
  kHidden,  // about to replace another: walked through and linked to, not found yet
};

struct Node {
  int64_t id;
  uint32_t first_upper_row;
  uint8_t level;
  RowState state;
  uint16_t unused;

  bool is_live() const { return state == RowState::kLive; }
};
static_assert(sizeof(Node) == 16);

// Where a walk begins: the slot with the highest level.
struct Entry {
  uint32_t slot = kNone;
  int32_t level = -1;
};

// The neighbours of one slot on one level.
class Links {
 public:
  Links(uint8_t* row, uint32_t capacity) : links_(reinterpret_cast<uint32_t*>(row)), capacity_(capacity) {}

  uint32_t capacity() const { return capacity_; }
  uint32_t get(uint32_t i) const { return __atomic_load_n(links_ + i, __ATOMIC_RELAXED); }
  uint32_t size() const {
    uint32_t n = 0;
    while (n < capacity_ && get(n) != kNone) ++n;
    return n;
  }
  bool contains(uint32_t slot) const {
    for (uint32_t i = 0; i < capacity_ && get(i) != kNone; ++i) {
      if (get(i) == slot) return true;
    }
    return false;
  }
  // REQUIRES: size() < capacity().
  void append(uint32_t slot) { set(size(), slot); }
  void assign(std::span<const uint32_t> slots) {
    for (uint32_t i = 0; i < capacity_; ++i) set(i, i < slots.size() ? slots[i] : kNone);
  }
  void prefetch() const {
    for (uint32_t i = 0; i < capacity_; i += 16) __builtin_prefetch(links_ + i);
  }

 private:
  void set(uint32_t i, uint32_t slot) { __atomic_store_n(links_ + i, slot, __ATOMIC_RELAXED); }

  uint32_t* links_;
  uint32_t capacity_;
};

class Graph {
 public:
  explicit Graph(int M);

  // The writer's: appends a slot without links, not yet published.
  uint32_t append(int64_t id, int level);
  void publish(uint32_t num_slots, Entry entry);

  uint32_t num_slots() const { return num_slots_.load(std::memory_order_acquire); }
  Entry entry() const { return std::bit_cast<Entry>(entry_.load(std::memory_order_acquire)); }

  Node& node(uint32_t slot) const { return *reinterpret_cast<Node*>(nodes_.row(slot)); }
  Links links(uint32_t slot, int level) const {
    if (level == 0) return {ground_.row(slot), ground_capacity_};
    return {upper_.row(node(slot).first_upper_row + level - 1), upper_capacity_};
  }
  int M() const { return static_cast<int>(upper_capacity_); }
  uint32_t num_upper_rows() const { return num_upper_rows_; }
  size_t ram_bytes() const { return nodes_.ram_bytes() + ground_.ram_bytes() + upper_.ram_bytes(); }
  size_t mapped_bytes() const { return nodes_.mapped_bytes() + ground_.mapped_bytes() + upper_.mapped_bytes(); }

  // Tables of a saved graph, used in place. REQUIRES: an empty graph.
  struct Tables {
    uint8_t *nodes, *ground, *upper;
    uint32_t num_slots, num_upper_rows;
    Entry entry;
  };
  void map(const Tables& tables);
  const ChunkedRows& nodes() const { return nodes_; }
  const ChunkedRows& ground() const { return ground_; }
  const ChunkedRows& upper() const { return upper_; }

 private:
  uint32_t ground_capacity_, upper_capacity_;
  ChunkedRows nodes_, ground_, upper_;
  uint32_t num_appended_ = 0, num_upper_rows_ = 0;
  std::atomic<uint32_t> num_slots_{0};
  std::atomic<uint64_t> entry_;
};

}  // namespace quire::retrieval
