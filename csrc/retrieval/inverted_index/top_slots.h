// The best k documents for a few terms: MaxScore with block-max bounds over windows of slots.
//
// Terms whose bounds together cannot lift a document of the window above the k-th best found so far are not read: they
// are only looked up for the candidates that the others bring, those that can give most first. Bounds are those of the
// posting blocks that meet the window.

#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "retrieval/inverted_index/scored_slot.h"
#include "retrieval/postings/posting_cursor.h"

namespace quire::retrieval {

class TopSlots {
 public:
  TopSlots(std::vector<PostingCursor> cursors, size_t k)
      : kernels_(posting_kernels()),
        k_(k),
        best_(k),
        cursors_(std::move(cursors)),
        sums_(std::make_unique<Sums>()),
        candidates_(std::make_unique_for_overwrite<Candidates>()),
        spare_(std::make_unique_for_overwrite<Candidates>()) {
    for (PostingCursor& cursor : cursors_) order_.push_back(&cursor);
  }

  // Those of the slots below `num_slots` for which passes(slot), best first.
  template <class Passes>
  std::vector<ScoredSlot> find(uint32_t num_slots, const Passes& passes) {
    if (order_.size() > 1) raise_floor(passes);
    for (uint32_t begin = 0; begin < num_slots; begin += kWindow) {
      search_window(begin, std::min(begin + kWindow, num_slots), passes);
    }
    return best_.take();
  }

 private:
  static constexpr uint32_t kWindow = kSumWindow;
  static constexpr size_t kSeeds = 24;

  // Of the slots of a window; zeros between windows.
  struct Sums {
    std::array<float, kWindow> scores{};
    std::array<uint8_t, kWindow / 8> is_touched{};  // of eight sums, 0xff where one was added to
  };
  struct Candidates {
    uint32_t count = 0;
    std::array<uint32_t, kWindow + 8> slots;  // ascending
    std::array<float, kWindow + 8> scores;    // so far
  };

  // What a document must exceed to be among the best k.
  float threshold() const { return best_.is_full() ? std::max(floor_, best_.worst()) : floor_; }

  // The k-th best of any documents that pass is no better than that of all. Some that hold the rarest term are likely
  // to be good; with what they show, common terms need not be read from the first window on.
  template <class Passes>
  void raise_floor(const Passes& passes) {
    std::sort(order_.begin(), order_.end(),
              [](const auto* a, const auto* b) { return a->list().size() < b->list().size(); });
    PostingCursor& rarest = *order_.front();
    const uint32_t end = rarest.list().last_document(0) + 1;
    rarest.enter(0, end);
    read_one(rarest, 0, end, 0);
    drop_failing(passes);
    for (size_t i = 1; i < order_.size() && candidates_->count >= k_; ++i) {
      look_up(*order_[i], 0);
      const size_t num_seeds = std::max(kSeeds, k_);
      if (candidates_->count > num_seeds) drop_below(nth_best(num_seeds));
    }
    if (candidates_->count >= k_) floor_ = nth_best(k_) / (PostingCursor::kSlack * PostingCursor::kSlack);
    for (PostingCursor& cursor : cursors_) cursor.rewind();
  }

  template <class Passes>
  void search_window(uint32_t begin, uint32_t end, const Passes& passes) {
    for (PostingCursor* cursor : order_) cursor->enter(begin, end);
    std::sort(order_.begin(), order_.end(), [](const auto* a, const auto* b) { return a->bound() < b->bound(); });
    // order_: [ rest: together below the threshold | read: bring the candidates )
    size_t num_rest = 0;
    float rest_bound = 0;
    while (num_rest < order_.size() && rest_bound + order_[num_rest]->bound() <= threshold()) {
      rest_bound += order_[num_rest++]->bound();
    }
    if (num_rest == order_.size()) return;
    if (num_rest + 1 == order_.size()) {
      read_one(*order_.back(), begin, end, threshold() - rest_bound);
    } else {
      read_some(num_rest, begin, end, threshold() - rest_bound);
    }
    while (num_rest > 0 && candidates_->count > 0) {
      --num_rest;
      rest_bound = 0;
      for (size_t i = 0; i < num_rest; ++i) rest_bound += order_[i]->bound();
      look_up(*order_[num_rest], rest_bound);
    }
    keep_best(passes);
  }

  // Candidates are the documents of one term with a score above `least`.
  void read_one(PostingCursor& cursor, uint32_t begin, uint32_t end, float least) {
    Candidates& to = *candidates_;
    to.count = 0;
    cursor.read(begin, end, least, [&](const PostingCursor::Scored& block) {
      to.count +=
          kernels_.keep(block.documents, block.scores, block.count, least, &to.slots[to.count], &to.scores[to.count]);
    });
  }

  // Candidates are the documents of several terms whose scores add up to more than `least`.
  void read_some(size_t num_rest, uint32_t begin, uint32_t end, float least) {
    Sums& sums = *sums_;
    for (size_t i = num_rest; i < order_.size(); ++i) {
      order_[i]->read(begin, end, 0, [&](const PostingCursor::Scored& block) {
        for (uint32_t j = 0; j < block.count; ++j) {
          const uint32_t place = block.documents[j] - begin;
          sums.scores[place] += block.scores[j];
          sums.is_touched[place / 8] = 0xff;
        }
      });
    }
    Candidates& to = *candidates_;
    to.count =
        kernels_.take(sums.scores.data(), sums.is_touched.data(), begin, least, to.slots.data(), to.scores.data());
  }

  // Adds what the term gives, and drops the candidates that this and `rest_bound` cannot lift above the threshold.
  void look_up(PostingCursor& cursor, float rest_bound) {
    const float least = threshold() - rest_bound;
    const Candidates& from = *candidates_;
    Candidates& to = *spare_;
    to.count = 0;
    for (uint32_t begin = 0, end; begin < from.count; begin = end) {
      const float bound = cursor.bound_at(from.slots[begin]);
      const uint32_t last = cursor.last_document();
      for (end = begin + 1; end < from.count && from.slots[end] <= last;) ++end;
      const uint32_t num_hopeful = keep(from, begin, end, least - bound, to);
      if (num_hopeful == 0) continue;
      if (bound > 0) cursor.add_scores(&to.slots[to.count], &to.scores[to.count], num_hopeful);
      to.count += keep(to, to.count, to.count + num_hopeful, least, to);
    }
    std::swap(candidates_, spare_);
  }

  // Copies those of [begin, end) with a score above `least` behind the candidates of `to`; returns how many.
  uint32_t keep(const Candidates& from, uint32_t begin, uint32_t end, float least, Candidates& to) const {
    return kernels_.keep(&from.slots[begin], &from.scores[begin], end - begin, least, &to.slots[to.count],
                         &to.scores[to.count]);
  }

  template <class Passes>
  void drop_failing(const Passes& passes) {
    Candidates& all = *candidates_;
    uint32_t num_passing = 0;
    for (uint32_t i = 0; i < all.count; ++i) {
      all.slots[num_passing] = all.slots[i], all.scores[num_passing] = all.scores[i];
      num_passing += passes(all.slots[i]);
    }
    all.count = num_passing;
  }

  void drop_below(float least) {
    Candidates& all = *candidates_;
    const uint32_t count = std::exchange(all.count, 0);
    all.count = keep(all, 0, count, std::nextafter(least, 0.f), all);
  }

  // The n-th best score of the candidates. REQUIRES: there are as many.
  float nth_best(size_t n) {
    float* const scores = spare_->scores.data();
    std::copy_n(candidates_->scores.begin(), candidates_->count, scores);
    std::nth_element(scores, scores + (n - 1), scores + candidates_->count, std::greater<>());
    return scores[n - 1];
  }

  template <class Passes>
  void keep_best(const Passes& passes) {
    for (uint32_t i = 0; i < candidates_->count; ++i) {
      const ScoredSlot candidate{candidates_->scores[i], candidates_->slots[i]};
      if (candidate.score > threshold() && passes(candidate.slot)) best_.offer(candidate);
    }
  }

  const PostingKernels& kernels_;
  size_t k_;
  float floor_ = 0;
  BestSlots best_;
  std::vector<PostingCursor> cursors_;
  std::vector<PostingCursor*> order_;
  std::unique_ptr<Sums> sums_;
  std::unique_ptr<Candidates> candidates_, spare_;
};

}  // namespace quire::retrieval
