// The file of an index (table_file.h): its tables are the arrays of memory; of each list there is an entry, and its
// bytes and blocks lie one after the other in the order of the lists. So do positions, in an index that has them.

#include <array>
#include <cstring>
#include <shared_mutex>

#include "retrieval/inverted_index/inverted_index.h"
#include "retrieval/postings/varint.h"

namespace quire::retrieval {
namespace {

constexpr uint64_t kMagic = 0x33494945'52495551;  // "QUIREII3"
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
  kPositionLists,
  kPositionEnds,
  kPositions,
  kNumTables
};
constexpr std::array<const char*, kNumTables> kNames{
    "facts",       "analyzer",    "document_ids", "lengths",        "is_dead",       "word_letters", "word_ends",
    "word_hashes", "word_places", "terms_of",     "term_letters",   "term_ends",     "term_hashes",  "term_places",
    "lists",       "blocks",      "postings",     "position_lists", "position_ends", "positions"};

struct Facts {
  Bm25Options options;
  uint32_t has_positions;
  uint64_t total_length;
};

// Of every list five varints: size, last document, bytes, and the frequency and length that bound its tail.
Buffer<uint8_t> packed_entries(std::span<const PostingList> lists) {
  Buffer<uint8_t> out;
  for (const PostingList& list : lists) {
    const PostingList::Entry entry = list.entry();
    for (const uint32_t number : {entry.size, entry.last_document, entry.num_bytes,
                                  uint32_t{entry.tail_bound.frequency[0]}, uint32_t{entry.tail_bound.length[0]}}) {
      put_varint(out, number);
    }
  }
  return out;
}

// Of every list one varint: its bytes.
Buffer<uint8_t> packed_entries(std::span<const PositionList> lists) {
  Buffer<uint8_t> out;
  for (const PositionList& list : lists) put_varint(out, list.bytes().size());
  return out;
}

// The next number of such a table; `p` moves behind it.
uint32_t take_varint(const uint8_t*& p, const uint8_t* end) {
  uint32_t number = 0;
  p = get_varint(p, end, number);
  return number;
}

}  // namespace

void InvertedIndex::save(const std::string& path) const {
  const std::lock_guard writer(writer_);
  TableWriter file(path, kMagic);
  Facts facts;
  std::memset(static_cast<void*>(&facts), 0, sizeof(facts));
  facts.options = options_;
  facts.has_positions = has_positions_;
  facts.total_length = total_length_;
  file.add(std::span(&facts, 1));
  file.add(analyzer_);
  file.add(document_ids_);
  file.add(lengths_);
  file.add(is_dead_);
  words_.save(file);
  file.add(term_of_word_);
  terms_.save(file);
  file.add(packed_entries(lists_));
  file.begin();
  for (const PostingList& list : lists_) file.append(list.blocks().data(), list.blocks().size() * sizeof(Block));
  file.begin();
  for (const PostingList& list : lists_) file.append(list.bytes().data(), list.bytes().size());
  file.add(packed_entries(positions_));
  file.begin();
  for (const PositionList& list : positions_) file.append(list.ends().data(), list.ends().size() * sizeof(uint32_t));
  file.begin();
  for (const PositionList& list : positions_) file.append(list.bytes().data(), list.bytes().size());
  file.commit();
}

std::unique_ptr<InvertedIndex> InvertedIndex::load(const std::string& path, WordSplitter splitter) {
  auto file = std::make_unique<TableFile>(path, kMagic, kKind, kNames);
  file->check_all();
  const Facts facts = file->rows<Facts>(kFacts)[0];
  const auto analyzer = file->rows<char>(kAnalyzer);
  auto index = std::make_unique<InvertedIndex>(facts.options, facts.has_positions != 0, std::move(splitter),
                                               std::string_view(analyzer.data(), analyzer.size()));
  index->total_length_ = facts.total_length;
  index->document_ids_ = Buffer(file->rows<int64_t>(kDocumentIds));
  index->lengths_ = Buffer(file->rows<uint32_t>(kLengths));
  index->is_dead_ = Buffer(file->rows<uint8_t>(kIsDead));
  index->words_.map(*file, kWords);
  index->term_of_word_ = Buffer(file->rows<uint32_t>(kTermOfWord));
  index->terms_.map(*file, kTerms);
  index->file_ = std::move(file);
  index->map_lists();
  index->map_positions();
  index->number_ids();
  return index;
}

void InvertedIndex::map_lists() {
  const auto entries = file_->rows<uint8_t>(kLists);
  Block* blocks = file_->rows<Block>(kBlocks).data();
  uint8_t* bytes = file_->rows<uint8_t>(kPostings).data();
  const uint8_t *p = entries.data(), *const end = p + entries.size();
  lists_.reserve(terms_.size());
  while (p < end) {
    PostingList::Entry entry;
    for (uint32_t* number : {&entry.size, &entry.last_document, &entry.num_bytes}) *number = take_varint(p, end);
    const auto f = static_cast<uint16_t>(take_varint(p, end)), l = static_cast<uint16_t>(take_varint(p, end));
    entry.tail_bound = {{f, f}, {l, l}};
    lists_.emplace_back(entry, bytes, blocks);
    blocks += lists_.back().blocks().size(), bytes += entry.num_bytes;
  }
}

void InvertedIndex::map_positions() {
  const auto entries = file_->rows<uint8_t>(kPositionLists);
  uint32_t* ends = file_->rows<uint32_t>(kPositionEnds).data();
  uint8_t* bytes = file_->rows<uint8_t>(kPositions).data();
  const uint8_t *p = entries.data(), *const end = p + entries.size();
  for (size_t term = 0; p < end; ++term) {
    const uint32_t num_bytes = take_varint(p, end), num_ends = lists_[term].blocks().size();
    positions_.emplace_back(std::span(bytes, num_bytes), std::span(ends, num_ends));
    bytes += num_bytes, ends += num_ends;
  }
}

void InvertedIndex::number_ids() {
  for (uint32_t slot = 0; slot < document_ids_.size(); ++slot) {
    if (!is_dead_[slot]) ids_.set(document_ids_[slot], slot);
  }
}

void InvertedIndex::verify(const std::string& path) { TableFile(path, kMagic, kKind, kNames).check_all(); }

}  // namespace quire::retrieval
