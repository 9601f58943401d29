// One word of a phrase on its way through its postings, document by document, ascending.

#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "retrieval/postings/position_list.h"
#include "retrieval/postings/postings.h"

namespace quire::retrieval {

class PhraseCursor {
 public:
  // `offset`: of the word in the phrase.
  PhraseCursor(const PostingList& list, const PositionList& positions, uint32_t offset)
      : list_(&list), positions_(&positions), kernels_(&posting_kernels()), offset_(offset) {
    load(0);
  }

  const PostingList& list() const { return *list_; }
  bool is_at_end() const { return block_ == list_->num_blocks(); }
  // REQUIRES, as those below: !is_at_end().
  uint32_t document() const { return documents_[place_]; }
  uint32_t frequency() const { return frequencies_[place_]; }

  void next() {
    if (++place_ == count_) load(block_ + 1);
  }

  // To the first document that is not before this.
  void seek(uint32_t document) {
    uint32_t block = block_;
    while (block < list_->num_blocks() && list_->last_document(block) < document) ++block;
    if (block != block_) load(block);
    if (is_at_end()) return;
    const uint32_t* const begin = documents_.data();
    place_ = static_cast<uint32_t>(std::lower_bound(begin + place_, begin + count_, document) - begin);
  }

  // Where the phrase would begin for the word to be where it is; those before the document's begin are left out.
  const std::vector<uint32_t>& starts() {
    const uint8_t* p = positions_->begin(block_);
    uint64_t num_before = 0;
    for (uint32_t i = 0; i < place_; ++i) num_before += frequencies_[i];
    positions_->read(positions_->skip(p, num_before), frequency(), starts_);
    std::erase_if(starts_, [&](uint32_t position) { return position < offset_; });
    for (uint32_t& position : starts_) position -= offset_;
    return starts_;
  }

 private:
  void load(uint32_t block) {
    block_ = block;
    place_ = 0;
    if (!is_at_end()) count_ = list_->read(block, *kernels_, documents_.data(), frequencies_.data());
  }

  const PostingList* list_;
  const PositionList* positions_;
  const PostingKernels* kernels_;
  uint32_t offset_, block_ = 0, place_ = 0, count_ = 0;
  std::array<uint32_t, PostingList::kBlock> documents_, frequencies_;
  std::vector<uint32_t> starts_;
};

}  // namespace quire::retrieval
