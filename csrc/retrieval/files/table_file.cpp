#include "retrieval/files/table_file.h"

#include <algorithm>
#include <cstring>

#include "hash.h"

namespace quire::retrieval {
namespace {

constexpr uint64_t kPage = 4096, kPiece = 1 << 20;
constexpr size_t kMaxTables = 128;

struct Header {
  uint64_t magic, num_tables, checksum;
  FileTable tables[kMaxTables];
};
static_assert(sizeof(Header) <= kPage);

uint64_t next_page(uint64_t offset) { return (offset + kPage - 1) / kPage * kPage; }

uint64_t checksum_of(Header header) {
  header.checksum = 0;
  return hash_bytes(&header, sizeof(header), header.magic);
}

bool is_zero(const uint8_t* begin, const uint8_t* end) {
  return std::all_of(begin, end, [](uint8_t byte) { return byte == 0; });
}

}  // namespace

TableWriter::TableWriter(const std::string& path, uint64_t magic) : file_(path), magic_(magic), end_(kPage) {}

void TableWriter::begin() {
  end_table();
  if (tables_.size() == kMaxTables) throw std::logic_error("too many tables for one file");
  tables_.push_back({end_, 0, tables_.size()});
}

void TableWriter::append(const void* data, uint64_t num_bytes) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (num_bytes > 0) {
    const uint64_t fits = std::min(num_bytes, kPiece - piece_.size());
    piece_.insert(piece_.end(), bytes, bytes + fits);
    bytes += fits, num_bytes -= fits;
    if (piece_.size() == kPiece) flush();
  }
}

void TableWriter::flush() {
  FileTable& table = tables_.back();
  file_.write(piece_.data(), piece_.size(), end_);
  table.checksum = hash_bytes(piece_.data(), piece_.size(), table.checksum);
  table.num_bytes += piece_.size();
  end_ += piece_.size();
  piece_.clear();
}

void TableWriter::end_table() {
  if (!piece_.empty()) flush();
  end_ = next_page(end_);
}

void TableWriter::commit() {
  end_table();
  Header header{};
  header.magic = magic_;
  header.num_tables = tables_.size();
  std::copy(tables_.begin(), tables_.end(), header.tables);
  header.checksum = checksum_of(header);
  file_.write(&header, sizeof(header), 0);
  file_.commit(end_);
}

TableFile::TableFile(const std::string& path, uint64_t magic, const std::string& kind,
                     std::span<const char* const> names)
    : file_(path), names_(names) {
  Header header;
  if (file_.size() < kPage) refuse("too short for " + kind);
  std::memcpy(&header, file_.data(), sizeof(header));
  if (header.magic != magic) refuse("not " + kind + " of this version");
  const bool is_whole = header.checksum == checksum_of(header) && header.num_tables == names.size();
  if (!is_whole || !is_zero(file_.data() + sizeof(header), file_.data() + kPage)) refuse("its header is damaged");
  tables_.assign(header.tables, header.tables + header.num_tables);
  for (size_t i = 0; i < tables_.size(); ++i) {
    const FileTable& t = tables_[i];
    if (t.offset > file_.size() || t.num_bytes > file_.size() - t.offset) refuse("cut short");
  }
  if (file_.size() != (tables_.empty() ? kPage : end_of(tables_.size() - 1))) refuse("cut short, or too long");
}

uint64_t TableFile::end_of(size_t table) const { return next_page(tables_[table].offset + tables_[table].num_bytes); }

void TableFile::check(size_t table) const {
  const FileTable& t = tables_[table];
  const uint8_t *begin = file_.data() + t.offset, *end = begin + t.num_bytes;
  uint64_t checksum = table;
  for (const uint8_t* p = begin; p < end; p += kPiece) {
    checksum = hash_bytes(p, std::min<uint64_t>(kPiece, end - p), checksum);
  }
  if (checksum != t.checksum || !is_zero(end, file_.data() + end_of(table))) {
    refuse(std::string("its table '") + names_[table] + "' is damaged");
  }
}

void TableFile::check_all() const {
  for (size_t i = 0; i < tables_.size(); ++i) check(i);
}

void TableFile::refuse(const std::string& why) const {
  throw CorruptIndex(file_.path() + ": " + why + "; rebuild the index from its documents");
}

}  // namespace quire::retrieval
