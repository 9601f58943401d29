// One term of a query on its way through its postings, window by window of slots, ascending.

#pragma once

#include <algorithm>
#include <array>

#include "retrieval/postings/postings.h"

namespace quire::retrieval {

class PostingCursor {
 public:
  // Sums of float32 in another order may differ by this much; bounds give as much way.
  static constexpr float kSlack = 1 + 1e-5f;

  struct Scored {
    const uint32_t* documents;
    const float* scores;
    uint32_t count;
  };

  // `lengths` of all documents.
  PostingCursor(const PostingList& list, const Impact& impact, const uint32_t* lengths)
      : list_(&list), impact_(impact), lengths_(lengths), kernels_(&posting_kernels()) {}

  const PostingList& list() const { return *list_; }
  // The most that the term adds to a document of the window entered.
  float bound() const { return bound_; }

  void rewind() { block_ = 0; }
  // Moves to [begin, end): passes over the blocks that end before `begin`.
  void enter(uint32_t begin, uint32_t end) {
    pass_to(begin);
    bound_ = 0;
    for (uint32_t i = block_; meets(i, end); ++i) bound_ = std::max(bound_, bound_of(i));
  }

  // use(documents with scores) for every block that meets [begin, end) and may hold a score above `least`; only those
  // of the window. REQUIRES: enter(begin, end).
  template <class Use>
  void read(uint32_t begin, uint32_t end, float least, const Use& use) {
    for (uint32_t i = block_; meets(i, end); ++i) {
      if (bound_of(i) <= least) continue;
      load_scores(i);
      const uint32_t *first = documents_.data(), *last = first + count_;
      if (*first < begin) first = std::lower_bound(first, last, begin);
      if (last[-1] >= end) last = std::lower_bound(first, last, end);
      const auto skipped = first - documents_.data();
      use(Scored{first, scores_.data() + skipped, static_cast<uint32_t>(last - first)});
    }
  }

  // Moves to the block that may hold `document`, and bounds what it can give. REQUIRES: documents come in ascending
  // order.
  float bound_at(uint32_t document) {
    pass_to(document);
    return block_ < list_->num_blocks() ? bound_of(block_) : 0;
  }

  // The last document of that block; all there are where there is none.
  uint32_t last_document() const { return block_ < list_->num_blocks() ? list_->last_document(block_) : kNone; }

  // Adds the term's score in each of the documents. REQUIRES: they ascend within the block of bound_at().
  void add_scores(const uint32_t* documents, float* sums, uint32_t count) {
    load_documents(block_);
    for (uint32_t begin = 0; begin < count; begin += PostingList::kBlock) {
      add_some_scores(documents + begin, sums + begin, std::min(PostingList::kBlock, count - begin));
    }
  }

 private:
  static constexpr uint32_t kNone = 0xffffffff;
  using Row = std::array<uint32_t, PostingList::kBlock>;

  bool meets(uint32_t block, uint32_t end) const {
    return block < list_->num_blocks() && list_->first_document(block) < end;
  }
  void pass_to(uint32_t document) {
    while (block_ < list_->num_blocks() && list_->last_document(block_) < document) ++block_;
  }

  float bound_of(uint32_t block) {
    if (block == bounded_) return block_bound_;
    bounded_ = block;
    return block_bound_ = kSlack * list_->bound(block)(impact_);
  }

  void add_some_scores(const uint32_t* documents, float* sums, uint32_t count) {
    Row hits, places, found, frequencies;
    const uint32_t num_hits = kernels_->find(documents_.data(), documents, count, hits.data(), places.data());
    if (num_hits == 0) return;
    load_frequencies();
    for (uint32_t i = 0; i < num_hits; ++i) {
      found[i] = documents[hits[i]];
      frequencies[i] = frequencies_[places[i]];
    }
    for (uint32_t i = num_hits; i % 16 != 0; ++i) found[i] = found[0], frequencies[i] = 1;
    std::array<float, PostingList::kBlock> scores;
    kernels_->score(impact_, found.data(), frequencies.data(), num_hits, lengths_, scores.data());
    for (uint32_t i = 0; i < num_hits; ++i) sums[hits[i]] += scores[i];
  }

  void load_documents(uint32_t block) {
    if (loaded_ == block) return;
    loaded_ = block;
    has_scores_ = false;
    has_frequencies_ = !list_->is_packed(block);
    if (has_frequencies_) {
      count_ = list_->read(block, *kernels_, documents_.data(), frequencies_.data());
    } else {
      count_ = PostingList::kBlock;
      list_->read_documents(block, *kernels_, documents_.data());
    }
  }

  void load_scores(uint32_t block) {
    load_documents(block);
    if (has_scores_) return;
    load_frequencies();
    kernels_->score(impact_, documents_.data(), frequencies_.data(), count_, lengths_, scores_.data());
    has_scores_ = true;
  }

  void load_frequencies() {
    if (!has_frequencies_) list_->read_frequencies(loaded_, *kernels_, frequencies_.data());
    has_frequencies_ = true;
  }

  const PostingList* list_;
  Impact impact_;
  const uint32_t* lengths_;
  const PostingKernels* kernels_;
  float bound_ = 0, block_bound_ = 0;
  uint32_t block_ = 0, bounded_ = kNone, loaded_ = kNone, count_ = 0;
  bool has_frequencies_ = false, has_scores_ = false;
  Row documents_, frequencies_;
  std::array<float, PostingList::kBlock> scores_;
};

}  // namespace quire::retrieval
