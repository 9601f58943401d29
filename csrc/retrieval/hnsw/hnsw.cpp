#include "retrieval/hnsw/hnsw.h"

#include <cmath>
#include <limits>
#include <shared_mutex>
#include <unordered_set>

#include "retrieval/errors.h"
#include "retrieval/files/mapped_file.h"

namespace quire::retrieval {

Hnsw::Hnsw(const HnswOptions& options)
    : options_(options),
      codec_(options.type, options.metric, options.dim),
      exact_codec_(RowType::kF32, options.metric, options.dim),
      codes_(std::make_unique<ChunkedRows>(codec_.row_bytes())),
      graph_(std::make_unique<Graph>(options.M)) {
  if (options.type != RowType::kF32) vectors_ = std::make_unique<ChunkedRows>(exact_codec_.row_bytes());
}

Hnsw::~Hnsw() = default;

uint32_t Hnsw::size() const {
  const std::shared_lock lock(gate_);
  return ids_.size();
}

bool Hnsw::contains(int64_t id) const {
  const std::shared_lock lock(gate_);
  return ids_.find(id).has_value();
}

std::vector<int64_t> Hnsw::ids() const {
  const std::shared_lock lock(gate_);
  std::vector<int64_t> ids;
  for (uint32_t slot = 0; slot < graph_->num_slots(); ++slot) {
    const Node& node = graph_->node(slot);
    if (node.is_live() && ids_.find(node.id) == slot) ids.push_back(node.id);
  }
  return ids;
}

void Hnsw::copy_vector(int64_t id, float* out) const {
  const std::shared_lock lock(gate_);
  const auto slot = ids_.find(id);
  if (!slot) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  std::memcpy(out, vectors().row(*slot), options_.dim * sizeof(float));
}

void Hnsw::check_vectors(const float* vectors, size_t num_vectors, const char* what) const {
  for (size_t i = 0; i < num_vectors; ++i) {
    const float* vector = vectors + i * options_.dim;
    double squares = 0;
    for (int d = 0; d < options_.dim; ++d) squares += double{vector[d]} * vector[d];
    const std::string where = std::string(what) + " " + std::to_string(i);
    if (!std::isfinite(squares)) throw InvalidInput(where + " holds NaN or infinity; allowed: finite numbers");
    if (squares > 1e30) throw InvalidInput(where + " is longer than 1e15; scale the vectors down");
    if (options_.metric == Metric::kCosine && squares < 1e-30) {
      throw InvalidInput(where + " is zero, which has no direction; leave it out, or use another metric than cosine");
    }
  }
}

void Hnsw::normalise(const float* vector, float* out) const {
  double squares = 1;
  if (options_.metric == Metric::kCosine) {
    squares = 0;
    for (int d = 0; d < options_.dim; ++d) squares += double{vector[d]} * vector[d];
  }
  const double scale = 1 / std::sqrt(squares);
  for (int d = 0; d < options_.dim; ++d) out[d] = static_cast<float>(vector[d] * scale);
}

// Level l with probability M^-l, from the seed and how many were drawn before.
int Hnsw::draw_level(uint64_t number) const {
  const double uniform =
      (static_cast<double>(mix64(mix64(options_.seed + 1) + number + 1) >> 11) + 1) / 9007199254740993.0;
  return std::min(kMaxLevel, static_cast<int>(-std::log(uniform) / std::log(options_.M)));
}

void Hnsw::append_rows(std::span<const int64_t> ids, const float* vectors, RowState state) {
  std::vector<float> unit(options_.dim);
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint32_t slot = graph_->append(ids[i], draw_level(num_drawn_++));
    graph_->node(slot).state = state;
    codes_->reserve(slot + 1);
    normalise(vectors + i * options_.dim, unit.data());
    codec_.encode(unit.data(), codes_->row(slot));
    if (!vectors_) continue;
    vectors_->reserve(slot + 1);
    exact_codec_.encode(unit.data(), vectors_->row(slot));
  }
}

static void check_distinct(std::span<const int64_t> ids) {
  std::unordered_set<int64_t> seen;
  for (const int64_t id : ids) {
    if (!seen.insert(id).second) throw InvalidInput("id " + std::to_string(id) + " is given twice");
  }
}

int64_t Hnsw::claim_ids(uint32_t count) {
  const std::lock_guard writer(writer_);
  next_id_ += count;
  return next_id_ - count;
}

void Hnsw::add(std::span<const int64_t> ids, const float* vectors, int num_threads) {
  const std::lock_guard writer(writer_);
  check_vectors(vectors, ids.size(), "vector");
  check_distinct(ids);
  for (const int64_t id : ids) {
    if (ids_.find(id)) throw InvalidInput("id " + std::to_string(id) + " is in this index already; update() replaces");
  }
  const uint32_t first = graph_->num_slots();
  if (ids.size() > ChunkedRows::kMaxRows - first) throw InvalidInput("an index holds at most 2**30 vectors");
  append_rows(ids, vectors, RowState::kLive);
  for (const int64_t id : ids) next_id_ = std::max(next_id_, id == std::numeric_limits<int64_t>::max() ? id : id + 1);
  link_rows(first, first + static_cast<uint32_t>(ids.size()), num_threads);
  const std::lock_guard lock(gate_);
  ids_.reserve(ids_.size() + static_cast<uint32_t>(ids.size()));
  for (size_t i = 0; i < ids.size(); ++i) ids_.set(ids[i], first + static_cast<uint32_t>(i));
}

void Hnsw::update(std::span<const int64_t> ids, const float* vectors, int num_threads) {
  const std::lock_guard writer(writer_);
  check_vectors(vectors, ids.size(), "vector");
  check_distinct(ids);
  for (const int64_t id : ids) {
    if (!ids_.find(id)) throw InvalidInput("id " + std::to_string(id) + " is not in this index; add() takes new ones");
  }
  const uint32_t first = graph_->num_slots();
  if (ids.size() > ChunkedRows::kMaxRows - first) throw InvalidInput("an index holds at most 2**30 vectors");
  append_rows(ids, vectors, RowState::kHidden);
  {
    const std::lock_guard lock(gate_);
    num_dead_ += static_cast<uint32_t>(ids.size());
  }
  link_rows(first, first + static_cast<uint32_t>(ids.size()), num_threads);
  const std::lock_guard lock(gate_);
  for (size_t i = 0; i < ids.size(); ++i) {
    graph_->node(*ids_.find(ids[i])).state = RowState::kDead;  // num_dead_ counted the new row until now
    graph_->node(first + static_cast<uint32_t>(i)).state = RowState::kLive;
    ids_.set(ids[i], first + static_cast<uint32_t>(i));
  }
}

void Hnsw::remove(std::span<const int64_t> ids) {
  const std::lock_guard writer(writer_);
  check_distinct(ids);
  for (const int64_t id : ids) {
    if (!ids_.find(id)) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  }
  const std::lock_guard lock(gate_);
  for (const int64_t id : ids) {
    graph_->node(*ids_.find(id)).state = RowState::kDead;
    ids_.erase(id);
  }
  num_dead_ += static_cast<uint32_t>(ids.size());
}

HnswStats Hnsw::stats() const {
  const std::lock_guard writer(writer_);
  const uint32_t num_slots = graph_->num_slots();
  uint64_t num_links = 0;
  for (uint32_t slot = 0; slot < num_slots; ++slot) num_links += graph_->links(slot, 0).size();
  HnswStats stats{};
  stats.num_vectors = ids_.size();
  stats.num_deleted = num_dead_;
  stats.max_level = graph_->entry().level;
  stats.mean_degree = num_slots > 0 ? static_cast<double>(num_links) / num_slots : 0;
  stats.ram_bytes =
      graph_->ram_bytes() + codes_->ram_bytes() + (vectors_ ? vectors_->ram_bytes() : 0) + ids_.ram_bytes();
  stats.mapped_bytes = graph_->mapped_bytes() + codes_->mapped_bytes() + (vectors_ ? vectors_->mapped_bytes() : 0);
  return stats;
}

}  // namespace quire::retrieval
