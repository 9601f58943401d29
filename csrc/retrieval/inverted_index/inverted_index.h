// Which documents say these words, best first: an inverted index with BM25 (bm25.h), searchable at once after every
// change.
//
//   word       what the splitter cuts out of a text            words_, each normalised once: to a term, or to nothing
//   term       what is indexed: a lower-cased, stemmed word    terms_, lists_[term]
//   slot       the place of a document: 0, 1, 2 …              document_ids_, lengths_, is_dead_
//   position   the place of a word in its text: 0, 1, 2 …      positions_[term], in an index that has them
//
// Deleted documents are skipped when found, and still counted by idf and mean length until compact(), which runs by
// itself when a quarter of the slots is dead. Normalising (stop words, stemming) is the caller's: a function from words
// to terms, asked once for each new word.
//
// Thread safety: every public function. A search sees all of a call's documents of one batch of kBatch, or none.
// Invariants (check_invariants): ids_ holds exactly the live slots; postings ascend within a list, name slots that
// exist, and stay within the bounds of their block; a document's frequencies add up to its length.

#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "retrieval/files/table_file.h"
#include "retrieval/gate.h"
#include "retrieval/id_filter.h"
#include "retrieval/id_table.h"
#include "retrieval/inverted_index/scored_slot.h"
#include "retrieval/inverted_index/string_table.h"
#include "retrieval/inverted_index/word_splitter.h"
#include "retrieval/postings/bm25.h"
#include "retrieval/postings/position_list.h"
#include "retrieval/postings/postings.h"

namespace quire::retrieval {

struct ScoredId {
  int64_t id;
  float score;
};

struct InvertedIndexStats {
  uint64_t num_documents, num_deleted, num_terms, num_postings, posting_bytes, position_bytes, ram_bytes, mapped_bytes;
  double mean_length;
};

class InvertedIndex {
 public:
  // For each word its term, or nothing for a word that is not indexed.
  using Normalise = std::function<std::vector<std::optional<std::string>>(const std::vector<std::string>&)>;
  using Terms = std::vector<std::string_view>;
  // A term for each word, or nothing for a word that is not indexed.
  using Phrase = std::vector<std::optional<std::string_view>>;

  // `analyzer` says who normalises, for the owner of a saved index.
  InvertedIndex(const Bm25Options& options, bool has_positions, WordSplitter splitter, std::string_view analyzer);

  const std::string& analyzer() const { return analyzer_; }
  bool has_positions() const { return has_positions_; }

  uint32_t size() const;
  bool contains(int64_t id) const;
  std::vector<int64_t> ids() const;

  // Lower-cased texts in UTF-8. With `replaces`, ids must be known, else unknown. Wrong ids change nothing; where
  // `normalise` throws, nothing is added, but batches before may be replaced.
  void add(std::span<const int64_t> ids, std::span<const std::string_view> texts, bool replaces,
           const Normalise& normalise);
  void add_terms(std::span<const int64_t> ids, std::span<const Terms> documents, bool replaces);
  void remove(std::span<const int64_t> ids);
  void compact();

  // Of every word of a query its term, or nothing for a word that is not indexed.
  std::vector<std::optional<std::string>> analyse(std::string_view text, const Normalise& normalise) const;
  // Best first, at most k, only documents that hold one of the terms; equal scores in the order of addition.
  std::vector<ScoredId> search(const Terms& query, size_t k, const IdFilter& filter) const;
  // Best first, at most k, only documents that hold the phrase (its ends without a term left out), scored as if it were
  // one word whose idf is the sum of its words'. REQUIRES: has_positions().
  std::vector<ScoredId> search_phrase(const Phrase& phrase, size_t k, const IdFilter& filter) const;
  // 0 for a document that holds none of the terms. Throws InvalidInput for an unknown id.
  float score(const Terms& query, int64_t id) const;
  uint32_t document_frequency(std::string_view term) const;
  uint32_t term_frequency(std::string_view term, int64_t id) const;
  uint32_t length(int64_t id) const;

  void save(const std::string& path) const;
  // Maps the file; its lists and tables are read in place until they change.
  static std::unique_ptr<InvertedIndex> load(const std::string& path, WordSplitter splitter);
  // Reads the whole file; throws CorruptIndex where a bit differs from what was written.
  static void verify(const std::string& path);

  InvertedIndexStats stats() const;
  void check_invariants() const;

 private:
  struct QueryTerm {
    uint32_t term;
    float weight;
  };
  // A term and its position, in an order in which a term's occurrences lie together and ascend.
  using Occurrence = uint64_t;
  static Occurrence occurrence(uint32_t term, size_t position) { return uint64_t{term} << 32 | position; }
  static uint32_t term_of(Occurrence occurrence) { return static_cast<uint32_t>(occurrence >> 32); }
  using Block = PostingList::Block;

  // inverted_index.cpp
  void check_ids(std::span<const int64_t> ids, size_t num_documents, bool are_known) const;
  template <class TermsOf>
  void add_batches(std::span<const int64_t> ids, bool replaces, const TermsOf& terms_of);
  void append(int64_t id, std::vector<Occurrence>& terms);
  void append_positions(uint32_t term, std::span<const Occurrence> occurrences);
  void bury(int64_t id);
  void compact_locked();
  void compact_list(uint32_t term, std::span<const uint32_t> new_slots, const Bm25& scorer);
  void normalise_new_words(const Normalise& normalise);
  uint32_t term_number(std::string_view term);

  // inverted_index_check.cpp
  void check_list(const PostingList& list, std::span<uint64_t> sums) const;
  void check_positions(const PostingList& list, const PositionList& positions) const;

  // inverted_index_file.cpp
  void map_lists();
  void map_positions();
  void number_ids();

  // inverted_index_search.cpp
  Bm25 scorer() const;
  template <class Search>
  std::vector<ScoredId> find_ids(const IdFilter& filter, const Search& search) const;
  std::vector<QueryTerm> weigh(const Terms& query, const Bm25& scorer) const;

  Bm25Options options_;
  bool has_positions_;
  WordSplitter splitter_;
  std::string analyzer_;
  std::unique_ptr<TableFile> file_;  // what the buffers below are views of, as far as they are
  StringTable words_, terms_;
  Buffer<uint32_t> term_of_word_;
  std::vector<PostingList> lists_;
  std::vector<PositionList> positions_;  // as many as lists_, or none
  Buffer<int64_t> document_ids_;
  Buffer<uint32_t> lengths_;
  Buffer<uint8_t> is_dead_;
  IdTable ids_;
  uint64_t total_length_ = 0;  // of all slots
  mutable std::mutex writer_;
  mutable Gate gate_;
};

}  // namespace quire::retrieval
