#include "retrieval/inverted_index.h"

#include <algorithm>
#include <shared_mutex>
#include <stdexcept>
#include <unordered_set>

#include "retrieval/errors.h"

namespace quire::retrieval {
namespace {

constexpr uint32_t kNoTerm = 0xffffffff;  // of a word that is not indexed
constexpr size_t kBatch = 256;            // documents added while readers wait

}  // namespace

InvertedIndex::InvertedIndex(const Bm25Options& options, WordSplitter splitter, std::string_view analyzer)
    : options_(options), splitter_(std::move(splitter)), analyzer_(analyzer) {}

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
  std::vector<std::vector<uint32_t>> batch;
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
  add_batches(ids, replaces, [&](size_t begin, std::vector<std::vector<uint32_t>>& batch) {
    for (size_t i = 0; i < batch.size(); ++i) {
      splitter_.split(texts[begin + i], [&](std::string_view word) { batch[i].push_back(words_.intern(word)); });
    }
    try {
      normalise_new_words(normalise);
    } catch (...) {
      words_.truncate(term_of_word_.size());
      throw;
    }
    for (auto& document : batch) {
      for (uint32_t& word : document) word = term_of_word_[word];
      std::erase(document, kNoTerm);
    }
  });
}

void InvertedIndex::add_terms(std::span<const int64_t> ids, std::span<const Terms> documents, bool replaces) {
  const std::lock_guard writer(writer_);
  check_ids(ids, documents.size(), replaces);
  add_batches(ids, replaces, [&](size_t begin, std::vector<std::vector<uint32_t>>& batch) {
    for (size_t i = 0; i < batch.size(); ++i) {
      for (const std::string_view term : documents[begin + i]) batch[i].push_back(term_number(term));
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
  if (number == lists_.size()) lists_.emplace_back();
  return number;
}

void InvertedIndex::append(int64_t id, std::vector<uint32_t>& terms) {
  const uint32_t slot = document_ids_.size();
  const auto length = static_cast<uint32_t>(terms.size());
  std::sort(terms.begin(), terms.end());
  for (size_t begin = 0, end; begin < terms.size(); begin = end) {
    for (end = begin; end < terms.size() && terms[end] == terms[begin];) ++end;
    lists_[terms[begin]].append(slot, static_cast<uint32_t>(end - begin), length);
  }
  document_ids_.push_back(id);
  lengths_.push_back(length);
  is_dead_.push_back(0);
  total_length_ += length;
  ids_.set(id, slot);
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
  for (PostingList& list : lists_) {
    PostingList compacted;
    list.for_each([&](uint32_t slot, uint32_t frequency) {
      if (!is_dead_[slot]) compacted.append(new_slots[slot], frequency, lengths_[new_slots[slot]]);
    });
    list = std::move(compacted);
  }
  document_ids_.truncate(num_live);
  lengths_.truncate(num_live);
  is_dead_.assign(num_live, 0);
}

std::vector<std::string> InvertedIndex::analyse(std::string_view text, const Normalise& normalise) const {
  std::vector<std::string> words, terms;
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
      if (term != kNoTerm) terms.emplace_back(terms_[term]);
    } else if (const auto& term = normalised[next++]) {
      terms.push_back(*term);
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
                    lists_.capacity() * sizeof(PostingList) + document_ids_.ram_bytes() + lengths_.ram_bytes() +
                    is_dead_.ram_bytes();
  stats.mapped_bytes = file_ ? file_->size() : 0;
  for (const PostingList& list : lists_) {
    stats.num_terms += list.size() > 0;
    stats.num_postings += list.size();
    stats.posting_bytes += list.num_bytes();
    stats.ram_bytes += list.ram_bytes();
  }
  return stats;
}

void InvertedIndex::check_invariants() const {
  const std::shared_lock lock(gate_);
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
  };
  std::vector<uint64_t> sums(document_ids_.size());
  for (const PostingList& list : lists_) {
    uint32_t i = 0;
    int64_t before = -1;
    list.for_each([&](uint32_t slot, uint32_t frequency) {
      require(slot > before && slot < sums.size(), "postings do not ascend, or name a slot that is not there");
      const PostingList::Block& block = list.block(i++ / PostingList::kBlock);
      require(slot <= block.last_document && frequency <= block.max_frequency && lengths_[slot] >= block.min_length,
              "a posting is beyond the bounds of its block");
      before = slot;
      sums[slot] += frequency;
    });
    require(i == list.size(), "a list has another size than it says");
  }
  uint32_t num_live = 0;
  for (uint32_t slot = 0; slot < sums.size(); ++slot) {
    require(sums[slot] == lengths_[slot], "frequencies of a document do not add up to its length");
    if (is_dead_[slot]) continue;
    ++num_live;
    require(ids_.find(document_ids_[slot]) == slot, "an id leads elsewhere");
  }
  require(num_live == ids_.size(), "ids and live documents differ in number");
}

}  // namespace quire::retrieval
