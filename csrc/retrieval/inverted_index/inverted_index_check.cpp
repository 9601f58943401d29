#include <shared_mutex>
#include <stdexcept>

#include "retrieval/inverted_index/inverted_index.h"

namespace quire::retrieval {
namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace

void InvertedIndex::check_invariants() const {
  const std::shared_lock lock(gate_);
  std::vector<uint64_t> sums(document_ids_.size());
  for (const PostingList& list : lists_) check_list(list, sums);
  require(positions_.size() == (has_positions_ ? lists_.size() : 0), "positions and lists differ in number");
  for (size_t term = 0; term < positions_.size(); ++term) check_positions(lists_[term], positions_[term]);
  uint32_t num_live = 0;
  for (uint32_t slot = 0; slot < sums.size(); ++slot) {
    require(sums[slot] == lengths_[slot], "frequencies of a document do not add up to its length");
    if (is_dead_[slot]) continue;
    ++num_live;
    require(ids_.find(document_ids_[slot]) == slot, "an id leads elsewhere");
  }
  require(num_live == ids_.size(), "ids and live documents differ in number");
}

// Adds its frequencies to those of the documents.
void InvertedIndex::check_list(const PostingList& list, std::span<uint64_t> sums) const {
  uint32_t i = 0;
  int64_t before = -1;
  list.for_each([&](uint32_t slot, uint32_t frequency) {
    require(slot > before && slot < sums.size(), "postings do not ascend, or name a slot that is not there");
    const uint32_t block = i++ / PostingList::kBlock;
    require(slot <= list.last_document(block) && list.bound(block).covers(frequency, lengths_[slot]),
            "a posting is beyond the bounds of its block");
    before = slot;
    sums[slot] += frequency;
  });
  require(i == list.size(), "a list has another size than it says");
}

void InvertedIndex::check_positions(const PostingList& list, const PositionList& positions) const {
  const uint8_t* p = positions.begin(0);
  std::vector<uint32_t> of_one;
  uint32_t i = 0;
  list.for_each([&](uint32_t, uint32_t frequency) {
    require(i % PostingList::kBlock != 0 || p == positions.begin(i / PostingList::kBlock),
            "the positions of a block begin elsewhere");
    ++i;
    p = positions.read(p, frequency, of_one);
  });
  require(p == positions.bytes().end(), "there are more positions than occurrences");
}

}  // namespace quire::retrieval
