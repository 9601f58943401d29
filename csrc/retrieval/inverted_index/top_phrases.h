// The best k documents that hold a phrase: all its words, each as far from the first as in the phrase. Its words' idf
// together weigh how often it occurs, as if it were one word.
//
// Documents are those of the rarest word that the others are in, too; positions are read only where the phrase, had it
// occurred as often as its rarest word does there, would be among the best k.

#pragma once

#include <algorithm>
#include <iterator>
#include <vector>

#include "retrieval/inverted_index/scored_slot.h"
#include "retrieval/postings/phrase_cursor.h"

namespace quire::retrieval {

class TopPhrases {
 public:
  // REQUIRES: at least one cursor. `lengths` of all documents.
  TopPhrases(std::vector<PhraseCursor> cursors, const Impact& impact, const uint32_t* lengths, size_t k)
      : cursors_(std::move(cursors)), impact_(impact), lengths_(lengths), best_(k) {
    std::sort(cursors_.begin(), cursors_.end(),
              [](const PhraseCursor& a, const PhraseCursor& b) { return a.list().size() < b.list().size(); });
  }

  // Those of the slots for which passes(slot), best first.
  template <class Passes>
  std::vector<ScoredSlot> find(const Passes& passes) {
    for (PhraseCursor& rarest = cursors_.front(); !rarest.is_at_end();) {
      const uint32_t slot = rarest.document();
      const uint32_t next = meet(slot);
      if (next != slot) {
        if (next == kNone) break;
        rarest.seek(next);
        continue;
      }
      if (passes(slot)) offer(slot);
      rarest.next();
    }
    return best_.take();
  }

 private:
  static constexpr uint32_t kNone = 0xffffffff;

  // Moves the other words to `slot`; returns it where all are there, else the first slot where all may be.
  uint32_t meet(uint32_t slot) {
    for (size_t i = 1; i < cursors_.size(); ++i) {
      cursors_[i].seek(slot);
      if (cursors_[i].is_at_end()) return kNone;
      if (cursors_[i].document() != slot) return cursors_[i].document();
    }
    return slot;
  }

  void offer(uint32_t slot) {
    uint32_t most = UINT32_MAX;
    for (const PhraseCursor& cursor : cursors_) most = std::min(most, cursor.frequency());
    if (!best_.admits(impact_(most, lengths_[slot]))) return;
    const uint32_t frequency = phrase_frequency();
    if (frequency > 0) best_.offer({impact_(frequency, lengths_[slot]), slot});
  }

  // In the document where all the words are.
  uint32_t phrase_frequency() {
    starts_ = cursors_.front().starts();
    for (size_t i = 1; i < cursors_.size() && !starts_.empty(); ++i) {
      const std::vector<uint32_t>& others = cursors_[i].starts();
      common_.clear();
      std::set_intersection(starts_.begin(), starts_.end(), others.begin(), others.end(), std::back_inserter(common_));
      std::swap(starts_, common_);
    }
    return static_cast<uint32_t>(starts_.size());
  }

  std::vector<PhraseCursor> cursors_;  // the rarest word first
  Impact impact_;
  const uint32_t* lengths_;
  BestSlots best_;
  std::vector<uint32_t> starts_, common_;
};

}  // namespace quire::retrieval
