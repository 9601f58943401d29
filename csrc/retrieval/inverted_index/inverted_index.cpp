#include "retrieval/inverted_index/inverted_index.h"

#include <algorithm>
#include <shared_mutex>
#include <unordered_set>

#include "retrieval/errors.h"

namespace quire::retrieval {
namespace {

constexpr uint32_t kNoTerm = 0xffffffff;  // of a word that is not indexed
constexpr size_t kBatch = 256;            // documents added while readers wait
constexpr uint32_t kMaxSlots = 1u << 31;  // so that a gap fits into 31 bits

}  // namespace

InvertedIndex::InvertedIndex(const Bm25Options& options, bool has_positions, WordSplitter splitter,
                             std::string_view analyzer)
    : options_(options), has_positions_(has_positions), splitter_(std::move(splitter)), analyzer_(analyzer) {}

uint32_t InvertedIndex::size() const {
  const std::shared_lock lock(gate_);
  return ids_.size();
}

bool InvertedIndex::contains(int64_t id) const {
  const std::shared_lock lock(gate_);
  return ids_.find(id).has_value();
}

std::vector<int64_t> InvertedIndex::ids() const {
  const std::shared_lock lock(gate_);
  std::vector<int64_t> ids;
  for (uint32_t slot = 0; slot < document_ids_.size(); ++slot) {
    if (!is_dead_[slot]) ids.push_back(document_ids_[slot]);
  }
  return ids;
}

void InvertedIndex::check_ids(std::span<const int64_t> ids, size_t num_documents, bool are_known) const {
  if (ids.size() != num_documents) {
    throw InvalidInput("there are " + std::to_string(num_documents) + " documents and " + std::to_string(ids.size()) +
                       " ids; give one id for each document");
  }
  std::unordered_set<int64_t> seen;
  for (const int64_t id : ids) {
    if (!seen.insert(id).second) throw InvalidInput("id " + std::to_string(id) + " is given twice");
    const bool is_known = ids_.find(id).has_value();
    if (is_known && !are_known) {
      throw InvalidInput("id " + std::to_string(id) + " is in this index already; update() replaces");
    }
    if (!is_known && are_known) throw InvalidInput("id " + std::to_string(id) + " is not in this index");
  }
}

// terms_of(i, terms) fills in the terms of the i-th document; it may throw, and then nothing was added.
template <class TermsOf>
void InvertedIndex::add_batches(std::span<const int64_t> ids, bool replaces, const TermsOf& terms_of) {
  if (ids.size() > kMaxSlots - document_ids_.size()) {
    throw InvalidInput("an index holds at most 2**31 documents; split it");
  }
  std::vector<std::vector<Occurrence>> batch;
  for (size_t begin = 0; begin < ids.size(); begin += kBatch) {
    const size_t n = std::min(kBatch, ids.size() - begin);
    const std::lock_guard lock(gate_);
    try {
      batch.assign(n, {});
      terms_of(begin, batch);
    } catch (...) {
      for (const int64_t id : ids.first(replaces ? 0 : begin)) bury(id);
      throw;
    }
    for (size_t i = 0; i < n; ++i) {
      if (replaces) bury(ids[begin + i]);
      append(ids[begin + i], batch[i]);
    }
  }
}

void InvertedIndex::add(std::span<const int64_t> ids, std::span<const std::string_view> texts, bool replaces,
                        const Normalise& normalise) {
  const std::lock_guard writer(writer_);
  check_ids(ids, texts.size(), replaces);
  add_batches(ids, replaces, [&](size_t begin, std::vector<std::vector<Occurrence>>& batch) {
    std::vector<std::string_view> words;
    for (size_t i = 0; i < batch.size(); ++i) {
      words.clear();
      splitter_.split(texts[begin + i], [&](std::string_view word) { words.push_back(word); });
      batch[i].reserve(words.size());
      words_.intern_all(words, [&](uint32_t word) { batch[i].push_back(occurrence(word, batch[i].size())); });
    }
    try {
      normalise_new_words(normalise);
    } catch (...) {
      words_.truncate(term_of_word_.size());
      throw;
    }
    for (auto& document : batch) {
      size_t num_terms = 0;
      for (size_t position = 0; position < document.size(); ++position) {
        const uint32_t term = term_of_word_[term_of(document[position])];
        document[num_terms] = occurrence(term, position);
        num_terms += term != kNoTerm;
      }
      document.resize(num_terms);
    }
  });
}

void InvertedIndex::add_terms(std::span<const int64_t> ids, std::span<const Terms> documents, bool replaces) {
  const std::lock_guard writer(writer_);
  check_ids(ids, documents.size(), replaces);
  add_batches(ids, replaces, [&](size_t begin, std::vector<std::vector<Occurrence>>& batch) {
    for (size_t i = 0; i < batch.size(); ++i) {
      for (const std::string_view term : documents[begin + i]) {
        batch[i].push_back(occurrence(term_number(term), batch[i].size()));
      }
    }
  });
}

void InvertedIndex::normalise_new_words(const Normalise& normalise) {
  std::vector<std::string> words;
  for (uint32_t word = term_of_word_.size(); word < words_.size(); ++word) {
    words.emplace_back(words_[word]);
  }
  if (words.empty()) return;
  const auto terms = normalise(words);
  if (terms.size() != words.size()) throw InvalidInput("the analyzer gave another number of terms than it got words");
  for (const auto& term : terms) term_of_word_.push_back(term ? term_number(*term) : kNoTerm);
}

uint32_t InvertedIndex::term_number(std::string_view term) {
  const uint32_t number = terms_.intern(term);
  if (number == lists_.size()) {
    lists_.emplace_back();
    if (has_positions_) positions_.emplace_back();
  }
  return number;
}

void InvertedIndex::append(int64_t id, std::vector<Occurrence>& terms) {
  const uint32_t slot = document_ids_.size();
  document_ids_.push_back(id);
  lengths_.push_back(static_cast<uint32_t>(terms.size()));
  is_dead_.push_back(0);
  total_length_ += terms.size();
  ids_.set(id, slot);
  const Bm25 scorer = this->scorer();
  for (const Occurrence each : terms) __builtin_prefetch(&lists_[term_of(each)], 1);
  std::sort(terms.begin(), terms.end());
  for (const Occurrence each : terms) lists_[term_of(each)].prefetch();
  for (size_t begin = 0, end; begin < terms.size(); begin = end) {
    const uint32_t term = term_of(terms[begin]);
    for (end = begin; end < terms.size() && term_of(terms[end]) == term;) ++end;
    if (has_positions_) append_positions(term, std::span(terms).subspan(begin, end - begin));
    lists_[term].append(slot, static_cast<uint32_t>(end - begin), lengths_.data(), scorer);
  }
}

void InvertedIndex::append_positions(uint32_t term, std::span<const Occurrence> occurrences) {
  std::vector<uint32_t> positions;
  for (const Occurrence each : occurrences) positions.push_back(static_cast<uint32_t>(each));
  positions_[term].append(lists_[term].size(), positions);
}

void InvertedIndex::bury(int64_t id) {
  is_dead_[*ids_.find(id)] = 1;
  ids_.erase(id);
}

void InvertedIndex::remove(std::span<const int64_t> ids) {
  const std::lock_guard writer(writer_);
  check_ids(ids, ids.size(), true);
  const std::lock_guard lock(gate_);
  for (const int64_t id : ids) bury(id);
  if ((document_ids_.size() - ids_.size()) * uint64_t{4} > document_ids_.size()) compact_locked();
}

void InvertedIndex::compact() {
  const std::lock_guard writer(writer_);
  const std::lock_guard lock(gate_);
  if (ids_.size() < document_ids_.size()) compact_locked();
}

void InvertedIndex::compact_locked() {
  std::vector<uint32_t> new_slots;
  uint32_t num_live = 0;
  total_length_ = 0;
  for (uint32_t slot = 0; slot < document_ids_.size(); ++slot) {
    new_slots.push_back(num_live);
    if (is_dead_[slot]) continue;
    document_ids_[num_live] = document_ids_[slot];
    lengths_[num_live] = lengths_[slot];
    total_length_ += lengths_[slot];
    ids_.set(document_ids_[slot], num_live++);
  }
  const Bm25 scorer(options_, num_live, num_live > 0 ? static_cast<double>(total_length_) / num_live : 0);
  for (uint32_t term = 0; term < lists_.size(); ++term) compact_list(term, new_slots, scorer);
  document_ids_.truncate(num_live);
  lengths_.truncate(num_live);
  is_dead_.assign(num_live, 0);
}

void InvertedIndex::compact_list(uint32_t term, std::span<const uint32_t> new_slots, const Bm25& scorer) {
  PostingList list;
  PositionList positions;
  const uint8_t* p = has_positions_ ? positions_[term].begin(0) : nullptr;
  std::vector<uint32_t> of_one;
  lists_[term].for_each([&](uint32_t slot, uint32_t frequency) {
    if (has_positions_) p = positions_[term].read(p, frequency, of_one);
    if (is_dead_[slot]) return;
    if (has_positions_) positions.append(list.size(), of_one);
    list.append(new_slots[slot], frequency, lengths_.data(), scorer);
  });
  lists_[term] = std::move(list);
  if (has_positions_) positions_[term] = std::move(positions);
}

std::vector<std::optional<std::string>> InvertedIndex::analyse(std::string_view text,
                                                               const Normalise& normalise) const {
  std::vector<std::string> words;
  std::vector<std::optional<std::string>> terms;
  splitter_.split(text, [&](std::string_view word) { words.emplace_back(word); });
  if (words.empty()) return terms;
  const std::shared_lock lock(gate_);
  std::vector<std::string> unknown;
  for (const std::string& word : words) {
    if (!words_.find(word)) unknown.push_back(word);
  }
  const auto normalised = unknown.empty() ? std::vector<std::optional<std::string>>() : normalise(unknown);
  if (normalised.size() != unknown.size())
    throw InvalidInput("the analyzer gave another number of terms than it got words");
  size_t next = 0;
  for (const std::string& word : words) {
    if (const auto known = words_.find(word)) {
      const uint32_t term = term_of_word_[*known];
      terms.push_back(term == kNoTerm ? std::nullopt : std::optional(std::string(terms_[term])));
    } else {
      terms.push_back(normalised[next++]);
    }
  }
  return terms;
}

InvertedIndexStats InvertedIndex::stats() const {
  const std::shared_lock lock(gate_);
  InvertedIndexStats stats{};
  stats.num_documents = ids_.size();
  stats.num_deleted = document_ids_.size() - ids_.size();
  stats.mean_length = document_ids_.empty() ? 0 : static_cast<double>(total_length_) / document_ids_.size();
  stats.ram_bytes = words_.ram_bytes() + terms_.ram_bytes() + term_of_word_.ram_bytes() + ids_.ram_bytes() +
                    lists_.capacity() * sizeof(PostingList) + positions_.capacity() * sizeof(PositionList) +
                    document_ids_.ram_bytes() + lengths_.ram_bytes() + is_dead_.ram_bytes();
  stats.mapped_bytes = file_ ? file_->size() : 0;
  for (const PostingList& list : lists_) {
    stats.num_terms += list.size() > 0;
    stats.num_postings += list.size();
    stats.posting_bytes += list.num_bytes();
    stats.ram_bytes += list.ram_bytes();
  }
  for (const PositionList& positions : positions_) {
    stats.position_bytes += positions.num_bytes();
    stats.ram_bytes += positions.ram_bytes();
  }
  return stats;
}

}  // namespace quire::retrieval
