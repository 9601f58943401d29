#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <shared_mutex>

#include "retrieval/errors.h"
#include "retrieval/inverted_index.h"

namespace quire::retrieval {
namespace {

constexpr uint32_t kWindow = 4096;
constexpr uint32_t kBlock = PostingList::kBlock;

// Sums of float32 in another order may differ by this much; bounds give as much way.
constexpr float kSlack = 1 + 1e-5f;

// A term of a query on its way through its postings.
class Cursor {
 public:
  Cursor(const PostingList& list, float weight) : list_(&list), weight_(weight) {}

  const PostingList& list() const { return *list_; }
  float weight() const { return weight_; }
  float bound() const { return bound_; }

  // Passes over the blocks that end before `begin`, and takes the bound of those that meet [begin, end).
  void enter(uint32_t begin, uint32_t end, const Bm25& scorer) {
    while (block_ < list_->num_blocks() && list_->block(block_).last_document < begin) ++block_;
    bound_ = 0;
    for (uint32_t i = block_; i < list_->num_blocks() && list_->first_document(i) < end; ++i) {
      bound_ = std::max(bound_, bound_of(i, scorer));
    }
  }

  // use(document, frequency) for the documents in [begin, end). REQUIRES: enter(begin, end).
  template <class Use>
  void read(uint32_t begin, uint32_t end, const Use& use) {
    for (uint32_t i = block_; i < list_->num_blocks() && list_->first_document(i) < end; ++i) {
      load(i);
      const auto first = std::lower_bound(documents_.cbegin(), documents_.cbegin() + count_, begin);
      for (auto j = static_cast<uint32_t>(first - documents_.cbegin()); j < count_ && documents_[j] < end; ++j) {
        use(documents_[j], frequencies_[j]);
      }
    }
  }

  // Moves to the block that may hold `document`, and bounds what it can give. REQUIRES: documents come in ascending
  // order.
  float bound_at(uint32_t document, const Bm25& scorer) {
    while (block_ < list_->num_blocks() && list_->block(block_).last_document < document) ++block_;
    return block_ < list_->num_blocks() ? bound_of(block_, scorer) : 0;
  }

  // How often the term occurs in `document`. REQUIRES: bound_at(document) was asked for and is not 0.
  uint32_t frequency_in(uint32_t document) {
    load(block_);
    while (documents_[place_] < document) ++place_;
    return documents_[place_] == document ? frequencies_[place_] : 0;
  }

 private:
  float bound_of(uint32_t i, const Bm25& scorer) const {
    const PostingList::Block& block = list_->block(i);
    return weight_ * kSlack *
           scorer.part(static_cast<float>(block.max_frequency), static_cast<float>(block.min_length));
  }

  void load(uint32_t block) {
    if (loaded_ == block) return;
    place_ = 0;
    count_ = list_->decode(block, documents_.data(), frequencies_.data());
    loaded_ = block;
  }

  const PostingList* list_;
  float weight_, bound_ = 0;
  uint32_t block_ = 0, loaded_ = 0xffffffff, count_ = 0, place_ = 0;
  std::array<uint32_t, kBlock> documents_, frequencies_;
};

struct Found {
  float score;
  uint32_t slot;
  // The worst is the greatest: a lower score, then a later slot.
  bool operator<(const Found& other) const { return score != other.score ? score > other.score : slot < other.slot; }
};

}  // namespace

// One search: the best k of what `passes` admits.
class InvertedIndex::Search {
 public:
  Search(const InvertedIndex& index, const std::vector<QueryTerm>& query, const Bm25& scorer, size_t k)
      : index_(index), scorer_(scorer), k_(k) {
    cursors_.reserve(query.size());
    for (const QueryTerm& term : query) cursors_.emplace_back(index.lists_[term.term], term.weight);
    for (Cursor& cursor : cursors_) order_.push_back(&cursor);
  }

  template <class Passes>
  std::vector<ScoredId> run(const Passes& passes) {
    const uint32_t num_slots = index_.document_ids_.size();
    for (const Cursor& cursor : cursors_) raise_floor(cursor.list(), cursor.weight(), passes);
    for (uint32_t begin = 0; begin < num_slots; begin += kWindow) {
      search_window(begin, std::min(begin + kWindow, num_slots), passes);
    }
    std::sort_heap(best_.begin(), best_.end());
    std::vector<ScoredId> found;
    for (const Found& hit : best_) found.push_back({index_.document_ids_[hit.slot], hit.score});
    return found;
  }

 private:
  // What a document must exceed to be among the best k.
  float threshold() const { return best_.size() < k_ ? floor_ : std::max(floor_, best_.front().score); }

  // The k-th best score that a rare term gives by itself is no more than the k-th best of all: with it, common terms
  // need not be read from the first window on.
  template <class Passes>
  void raise_floor(const PostingList& list, float weight, const Passes& passes) {
    constexpr uint32_t kRare = 4096;
    if (list.size() < k_ || list.size() > kRare) return;
    std::vector<float> scores;
    list.for_each([&](uint32_t slot, uint32_t frequency) {
      if (!passes(slot)) return;
      const auto length = static_cast<float>(index_.lengths_[slot]);
      scores.push_back(weight * scorer_.part(static_cast<float>(frequency), length));
    });
    if (scores.size() < k_) return;
    std::nth_element(scores.begin(), scores.begin() + (k_ - 1), scores.end(), std::greater<>());
    floor_ = std::max(floor_, scores[k_ - 1] / (kSlack * kSlack));
  }

  template <class Passes>
  void search_window(uint32_t begin, uint32_t end, const Passes& passes) {
    for (Cursor* cursor : order_) cursor->enter(begin, end, scorer_);
    std::sort(order_.begin(), order_.end(), [](const Cursor* a, const Cursor* b) { return a->bound() < b->bound(); });
    // order_: [ rest: together below the threshold | read: bring the candidates )
    size_t num_rest = 0;
    float rest_bound = 0;
    while (num_rest < order_.size() && rest_bound + order_[num_rest]->bound() <= threshold()) {
      rest_bound += order_[num_rest++]->bound();
    }
    if (num_rest == order_.size()) return;
    for (size_t i = num_rest; i < order_.size(); ++i) add_scores(*order_[i], begin, end);
    for (uint32_t word = 0; word < kWindow / 64; ++word) {
      for (uint64_t bits = std::exchange(touched_[word], 0); bits != 0; bits &= bits - 1) {
        const uint32_t offset = word * 64 + std::countr_zero(bits);
        const float score = std::exchange(scores_[offset], 0.f);
        if (score + rest_bound > threshold()) consider(begin + offset, score, num_rest, rest_bound, passes);
      }
    }
  }

  void add_scores(Cursor& cursor, uint32_t begin, uint32_t end) {
    const uint32_t* const lengths = index_.lengths_.data();
    cursor.read(begin, end, [&](uint32_t slot, uint32_t frequency) {
      const uint32_t offset = slot - begin;
      scores_[offset] +=
          cursor.weight() * scorer_.part(static_cast<float>(frequency), static_cast<float>(lengths[slot]));
      touched_[offset / 64] |= uint64_t{1} << (offset % 64);
    });
  }

  template <class Passes>
  void consider(uint32_t slot, float score, size_t num_rest, float rest_bound, const Passes& passes) {
    const auto length = static_cast<float>(index_.lengths_[slot]);
    for (size_t i = num_rest; i-- > 0;) {
      Cursor& cursor = *order_[i];
      rest_bound -= cursor.bound();
      const float bound = cursor.bound_at(slot, scorer_);
      if (score + rest_bound + bound <= threshold()) return;
      if (bound == 0) continue;
      const uint32_t frequency = cursor.frequency_in(slot);
      if (frequency > 0) score += cursor.weight() * scorer_.part(static_cast<float>(frequency), length);
    }
    if (score <= threshold() || !passes(slot)) return;
    if (best_.size() == k_) {
      std::pop_heap(best_.begin(), best_.end());
      best_.pop_back();
    }
    best_.push_back({score, slot});
    std::push_heap(best_.begin(), best_.end());
  }

  const InvertedIndex& index_;
  const Bm25& scorer_;
  size_t k_;
  float floor_ = 0;
  std::vector<Cursor> cursors_;
  std::vector<Cursor*> order_;
  std::vector<Found> best_;  // a heap, the worst in front
  std::array<float, kWindow> scores_{};
  std::array<uint64_t, kWindow / 64> touched_{};
};

Bm25 InvertedIndex::scorer() const {
  const auto num_documents = static_cast<double>(document_ids_.size());
  return {options_, num_documents, num_documents > 0 ? static_cast<double>(total_length_) / num_documents : 0};
}

// Each known term once, its idf times how often the query says it.
std::vector<InvertedIndex::QueryTerm> InvertedIndex::weigh(const Terms& query, const Bm25& scorer) const {
  std::vector<uint32_t> numbers;
  for (const std::string_view term : query) {
    const auto number = terms_.find(term);
    if (number && lists_[*number].size() > 0) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  std::vector<QueryTerm> weighed;
  for (const uint32_t number : numbers) {
    const float idf = scorer.idf(lists_[number].size());
    if (!weighed.empty() && weighed.back().term == number) {
      weighed.back().weight += idf;
    } else if (idf > 0) {
      weighed.push_back({number, idf});
    }
  }
  return weighed;
}

std::vector<ScoredId> InvertedIndex::search(const Terms& query, size_t k, const IdFilter& filter) const {
  const std::shared_lock lock(gate_);
  const Bm25 scorer = this->scorer();
  const auto search = std::make_unique<Search>(*this, weigh(query, scorer), scorer, k);
  if (filter.kind == IdFilter::Kind::kAll) return search->run([&](uint32_t slot) { return !is_dead_[slot]; });
  if (filter.kind == IdFilter::Kind::kBitmap) {
    return search->run([&](uint32_t slot) {
      const auto id = static_cast<uint64_t>(document_ids_[slot]);
      return !is_dead_[slot] && id < filter.bitmap.size() && filter.bitmap[id];
    });
  }
  std::vector<uint8_t> is_listed(document_ids_.size());
  for (const int64_t id : filter.ids) {
    if (const auto slot = ids_.find(id)) is_listed[*slot] = 1;
  }
  return search->run([&](uint32_t slot) { return is_listed[slot] != 0; });
}

float InvertedIndex::score(const Terms& query, int64_t id) const {
  const std::shared_lock lock(gate_);
  const auto slot = ids_.find(id);
  if (!slot) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  const Bm25 scorer = this->scorer();
  float score = 0;
  for (const QueryTerm& term : weigh(query, scorer)) {
    const uint32_t frequency = lists_[term.term].frequency_in(*slot);
    if (frequency > 0)
      score += term.weight * scorer.part(static_cast<float>(frequency), static_cast<float>(lengths_[*slot]));
  }
  return score;
}

uint32_t InvertedIndex::document_frequency(std::string_view term) const {
  const std::shared_lock lock(gate_);
  const auto number = terms_.find(term);
  uint32_t count = 0;
  if (number) lists_[*number].for_each([&](uint32_t slot, uint32_t) { count += !is_dead_[slot]; });
  return count;
}

uint32_t InvertedIndex::term_frequency(std::string_view term, int64_t id) const {
  const std::shared_lock lock(gate_);
  const auto slot = ids_.find(id);
  if (!slot) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  const auto number = terms_.find(term);
  return number ? lists_[*number].frequency_in(*slot) : 0;
}

uint32_t InvertedIndex::length(int64_t id) const {
  const std::shared_lock lock(gate_);
  const auto slot = ids_.find(id);
  if (!slot) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  return lengths_[*slot];
}

}  // namespace quire::retrieval
