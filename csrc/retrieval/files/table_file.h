// A file of tables: one page that says what is where, then every table on a page of its own, in the layout that memory
// has, so that a mapped file is used in place.
//
//   page 0   magic, number of tables, for each its offset, size and checksum; a checksum of all this; zeros
//   table 0  rows, zeros up to the next page
//   table 1  …
//
// Checksums are those of pieces of kPiece bytes, chained; the zeros belong to the table before them, so that no bit of
// the file may differ unnoticed. What the tables hold is their owner's to know.

#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "retrieval/errors.h"
#include "retrieval/files/mapped_file.h"
#include "retrieval/files/new_file.h"

namespace quire::retrieval {

struct FileTable {
  uint64_t offset = 0, num_bytes = 0, checksum = 0;
};

// Tables in their order: begin(), append() as often as it takes, and again; commit() leaves the old file or the whole
// new one.
class TableWriter {
 public:
  TableWriter(const std::string& path, uint64_t magic);

  void begin();
  void append(const void* data, uint64_t num_bytes);
  template <class Rows>
  void add(const Rows& rows) {
    begin();
    append(rows.data(), rows.size() * sizeof(*rows.data()));
  }
  void commit();

 private:
  void flush();
  void end_table();

  NewFile file_;
  uint64_t magic_, end_;
  std::vector<FileTable> tables_;
  std::vector<uint8_t> piece_;
};

class TableFile {
 public:
  // `kind` of file ("an index of stars") and `names` of its tables, for messages. Throws CorruptIndex where the first
  // page is not what it should be.
  TableFile(const std::string& path, uint64_t magic, const std::string& kind, std::span<const char* const> names);

  // Throws CorruptIndex where a bit of the table differs from what was written.
  void check(size_t table) const;
  void check_all() const;

  template <class Row>
  std::span<Row> rows(size_t table) const {
    const FileTable& t = tables_[table];
    if (t.num_bytes % sizeof(Row) != 0) refuse(std::string("its table '") + names_[table] + "' has a broken row");
    return {reinterpret_cast<Row*>(file_.data() + t.offset), t.num_bytes / sizeof(Row)};
  }
  uint64_t size() const { return file_.size(); }
  [[noreturn]] void refuse(const std::string& why) const;

 private:
  uint64_t end_of(size_t table) const;

  MappedFile file_;
  std::span<const char* const> names_;
  std::vector<FileTable> tables_;
};

}  // namespace quire::retrieval
