// The file of an index (table_file.h): its tables are the arrays of memory; of each list there is an entry, and its
// bytes and blocks lie one after the other in the order of the lists.

#include <array>
#include <cstring>
#include <shared_mutex>

#include "retrieval/inverted_index.h"

namespace quire::retrieval {
namespace {

constexpr uint64_t kMagic = 0x31494945'52495551;  // "QUIREII1"
constexpr const char* kKind = "an inverted index";

enum : size_t {
  kFacts,
  kAnalyzer,
  kDocumentIds,
  kLengths,
  kIsDead,
  kWords,
  kTermOfWord = kWords + StringTable::kNumTables,
  kTerms,
  kLists = kTerms + StringTable::kNumTables,
  kBlocks,
  kPostings,
  kNumTables
};
constexpr std::array<const char*, kNumTables> kNames{
    "facts",       "analyzer",    "document_ids", "lengths",  "is_dead",      "word_letters",
    "word_ends",   "word_hashes", "word_places",  "terms_of", "term_letters", "term_ends",
    "term_hashes", "term_places", "lists",        "blocks",   "postings"};

struct Facts {
  Bm25Options options;
  uint64_t total_length;
};

}  // namespace

void InvertedIndex::save(const std::string& path) const {
  const std::lock_guard writer(writer_);
  TableWriter file(path, kMagic);
  Facts facts;
  std::memset(static_cast<void*>(&facts), 0, sizeof(facts));
  facts.options = options_;
  facts.total_length = total_length_;
  file.add(std::span(&facts, 1));
  file.add(analyzer_);
  file.add(document_ids_);
  file.add(lengths_);
  file.add(is_dead_);
  words_.save(file);
  file.add(term_of_word_);
  terms_.save(file);
  std::vector<PostingList::Entry> entries;
  for (const PostingList& list : lists_) entries.push_back(list.entry());
  file.add(entries);
  file.begin();
  for (const PostingList& list : lists_) file.append(list.blocks().data(), list.entry().num_blocks * sizeof(Block));
  file.begin();
  for (const PostingList& list : lists_) file.append(list.bytes().data(), list.num_bytes());
  file.commit();
}

std::unique_ptr<InvertedIndex> InvertedIndex::load(const std::string& path, WordSplitter splitter) {
  auto file = std::make_unique<TableFile>(path, kMagic, kKind, kNames);
  file->check_all();
  const Facts facts = file->rows<Facts>(kFacts)[0];
  const auto analyzer = file->rows<char>(kAnalyzer);
  auto index = std::make_unique<InvertedIndex>(facts.options, std::move(splitter),
                                               std::string_view(analyzer.data(), analyzer.size()));
  index->total_length_ = facts.total_length;
  index->document_ids_ = Buffer(file->rows<int64_t>(kDocumentIds));
  index->lengths_ = Buffer(file->rows<uint32_t>(kLengths));
  index->is_dead_ = Buffer(file->rows<uint8_t>(kIsDead));
  index->words_.map(*file, kWords);
  index->term_of_word_ = Buffer(file->rows<uint32_t>(kTermOfWord));
  index->terms_.map(*file, kTerms);
  index->map_lists(file->rows<PostingList::Entry>(kLists), file->rows<Block>(kBlocks).data(),
                   file->rows<uint8_t>(kPostings).data());
  index->number_ids();
  index->file_ = std::move(file);
  return index;
}

void InvertedIndex::map_lists(std::span<const PostingList::Entry> entries, Block* blocks, uint8_t* bytes) {
  lists_.reserve(entries.size());
  for (const PostingList::Entry& entry : entries) {
    lists_.emplace_back(entry, bytes, blocks);
    blocks += entry.num_blocks, bytes += entry.num_bytes;
  }
}

void InvertedIndex::number_ids() {
  for (uint32_t slot = 0; slot < document_ids_.size(); ++slot) {
    if (!is_dead_[slot]) ids_.set(document_ids_[slot], slot);
  }
}

void InvertedIndex::verify(const std::string& path) { TableFile(path, kMagic, kKind, kNames).check_all(); }

}  // namespace quire::retrieval
