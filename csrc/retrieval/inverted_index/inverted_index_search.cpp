#include <algorithm>
#include <shared_mutex>

#include "retrieval/errors.h"
#include "retrieval/inverted_index/inverted_index.h"
#include "retrieval/inverted_index/top_phrases.h"
#include "retrieval/inverted_index/top_slots.h"

namespace quire::retrieval {

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

// search(passes), where passes(slot) says whether a slot may be found.
template <class Search>
std::vector<ScoredId> InvertedIndex::find_ids(const IdFilter& filter, const Search& search) const {
  std::vector<ScoredSlot> hits;
  if (filter.kind == IdFilter::Kind::kAll) {
    hits = search([&](uint32_t slot) { return !is_dead_[slot]; });
  } else if (filter.kind == IdFilter::Kind::kBitmap) {
    hits = search([&](uint32_t slot) {
      const auto id = static_cast<uint64_t>(document_ids_[slot]);
      return !is_dead_[slot] && id < filter.bitmap.size() && filter.bitmap[id];
    });
  } else {
    std::vector<uint8_t> is_listed(document_ids_.size());
    for (const int64_t id : filter.ids) {
      if (const auto slot = ids_.find(id)) is_listed[*slot] = 1;
    }
    hits = search([&](uint32_t slot) { return is_listed[slot] != 0; });
  }
  std::vector<ScoredId> found;
  for (const ScoredSlot& hit : hits) found.push_back({document_ids_[hit.slot], hit.score});
  return found;
}

std::vector<ScoredId> InvertedIndex::search(const Terms& query, size_t k, const IdFilter& filter) const {
  const std::shared_lock lock(gate_);
  const Bm25 scorer = this->scorer();
  std::vector<PostingCursor> cursors;
  for (const QueryTerm& term : weigh(query, scorer)) {
    cursors.emplace_back(lists_[term.term], scorer.impact(term.weight), lengths_.data());
  }
  TopSlots top(std::move(cursors), k);
  return find_ids(filter, [&](const auto& passes) { return top.find(document_ids_.size(), passes); });
}

std::vector<ScoredId> InvertedIndex::search_phrase(const Phrase& phrase, size_t k, const IdFilter& filter) const {
  const std::shared_lock lock(gate_);
  const Bm25 scorer = this->scorer();
  std::vector<PhraseCursor> cursors;
  float weight = 0;
  const auto first = std::find_if(phrase.begin(), phrase.end(), [](const auto& term) { return term.has_value(); });
  for (auto each = first; each != phrase.end(); ++each) {
    if (!*each) continue;
    const auto term = terms_.find(**each);
    if (!term) return {};
    cursors.emplace_back(lists_[*term], positions_[*term], static_cast<uint32_t>(each - first));
    weight += scorer.idf(std::max(1u, lists_[*term].size()));
  }
  if (cursors.empty() || !(weight > 0)) return {};
  TopPhrases top(std::move(cursors), scorer.impact(weight), lengths_.data(), k);
  return find_ids(filter, [&](const auto& passes) { return top.find(passes); });
}

float InvertedIndex::score(const Terms& query, int64_t id) const {
  const std::shared_lock lock(gate_);
  const auto slot = ids_.find(id);
  if (!slot) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  const Bm25 scorer = this->scorer();
  float score = 0;
  for (const QueryTerm& term : weigh(query, scorer)) {
    const uint32_t frequency = lists_[term.term].frequency_in(*slot);
    if (frequency > 0) score += scorer.impact(term.weight)(frequency, lengths_[*slot]);
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
