// The file of an index: a header, then five tables, each on a page of its own, in the layout that memory has.
//
//   Header      what is where, with the checksum of every table and its own
//   nodes       Node[num_slots]                     ┐
//   ground      uint32[num_slots][2M]               │ what could lead a walk astray: checked when loaded
//   upper       uint32[num_upper_rows][M]           ┘
//   codes       rows that walks read                ┐ checked by verify(): a flipped bit here misplaces one row
//   vectors     float32 rows; absent for f32        ┘
//
// Saving leaves the old file or the new one (new_file.h).

#include <algorithm>
#include <array>

#include "hash.h"
#include "retrieval/errors.h"
#include "retrieval/files/mapped_file.h"
#include "retrieval/files/new_file.h"
#include "retrieval/hnsw/hnsw.h"

namespace quire::retrieval {
namespace {

constexpr uint64_t kMagic = 0x314e4845'52495551;  // "QUIREHN1"
constexpr uint64_t kPage = 4096;
constexpr int kNumTables = 5, kNumCheckedAtLoad = 3;

struct Table {
  uint64_t offset, num_rows, row_bytes, checksum;
};

struct Header {
  uint64_t magic;
  HnswOptions options;
  uint32_t num_slots, num_upper_rows, num_dead;
  Entry entry;
  uint64_t num_drawn;
  int64_t next_id;
  std::array<Table, kNumTables> tables;
  uint64_t checksum;  // of all bytes before it
};
static_assert(std::is_trivially_copyable_v<Header> && sizeof(Header) <= kPage);

uint64_t header_checksum(const Header& header) { return hash_bytes(&header, offsetof(Header, checksum), kMagic); }

// Chunk by chunk, since in memory a table is not in one piece.
uint64_t table_checksum(const uint8_t* data, const Table& table) {
  if (table.num_rows == 0) return 0;
  const uint64_t piece = ChunkedRows::rows_per_chunk(table.row_bytes);
  uint64_t checksum = table.num_rows;
  for (uint64_t begin = 0; begin < table.num_rows; begin += piece) {
    const uint64_t num_bytes = std::min(piece, table.num_rows - begin) * table.row_bytes;
    checksum = hash_bytes(data + begin * table.row_bytes, num_bytes, checksum);
  }
  return checksum;
}

uint64_t next_page(uint64_t offset) { return (offset + kPage - 1) / kPage * kPage; }

Table write_table(NewFile& file, const ChunkedRows& rows, uint64_t num_rows, uint64_t offset) {
  Table table{offset, num_rows, rows.row_bytes(), num_rows};
  for (uint64_t begin = 0; begin < num_rows; begin += rows.rows_per_chunk()) {
    const uint64_t num_bytes = std::min<uint64_t>(rows.rows_per_chunk(), num_rows - begin) * rows.row_bytes();
    const uint8_t* data = rows.row(static_cast<uint32_t>(begin));
    file.write(data, num_bytes, offset + begin * rows.row_bytes());
    table.checksum = hash_bytes(data, num_bytes, table.checksum);
  }
  return table;
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw CorruptIndex(path + ": " + why + "; rebuild the index from its vectors");
}

// Where every table must be, from the counts in the header.
void check_header(const MappedFile& file, Header& header) {
  if (file.size() < kPage) refuse(file.path(), "too short for an HNSW index");
  std::memcpy(&header, file.data(), sizeof(header));
  if (header.magic != kMagic) refuse(file.path(), "not an HNSW index of this version");
  if (header.checksum != header_checksum(header)) refuse(file.path(), "its header is damaged");
  for (const Table& table : header.tables) {
    if (table.offset + table.num_rows * table.row_bytes > file.size()) refuse(file.path(), "cut short");
  }
}

void check_tables(const MappedFile& file, const Header& header, int num_tables) {
  static constexpr std::array<const char*, kNumTables> kNames{"nodes", "ground", "upper", "codes", "vectors"};
  for (int i = 0; i < num_tables; ++i) {
    const Table& table = header.tables[i];
    if (table_checksum(file.data() + table.offset, table) == table.checksum) continue;
    refuse(file.path(), std::string("its table '") + kNames[i] + "' is damaged");
  }
}

// Nothing is written around the tables, so a bit there is a flipped one.
void check_gaps(const MappedFile& file, const Header& header) {
  uint64_t begin = sizeof(Header);
  const auto check_up_to = [&](uint64_t end) {
    const bool is_empty = std::all_of(file.data() + begin, file.data() + end, [](uint8_t byte) { return byte == 0; });
    if (!is_empty) refuse(file.path(), "something stands between its tables");
  };
  for (const Table& table : header.tables) {
    if (table.row_bytes == 0) continue;
    check_up_to(table.offset);
    begin = table.offset + table.num_rows * table.row_bytes;
  }
  check_up_to(file.size());
}

}  // namespace

void Hnsw::save(const std::string& path) const {
  const std::lock_guard writer(writer_);
  Header header;
  std::memset(static_cast<void*>(&header), 0, sizeof(header));
  header.magic = kMagic;
  header.options = options_;
  header.num_slots = graph_->num_slots();
  header.num_upper_rows = graph_->num_upper_rows();
  header.num_dead = num_dead_;
  header.entry = graph_->entry();
  header.num_drawn = num_drawn_;
  header.next_id = next_id_;
  NewFile file(path);
  uint64_t end = kPage;
  const auto append = [&](const ChunkedRows& rows, uint64_t num_rows) {
    const Table table = write_table(file, rows, num_rows, next_page(end));
    end = table.offset + num_rows * table.row_bytes;
    return table;
  };
  header.tables = {append(graph_->nodes(), header.num_slots), append(graph_->ground(), header.num_slots),
                   append(graph_->upper(), header.num_upper_rows), append(*codes_, header.num_slots),
                   vectors_ ? append(*vectors_, header.num_slots) : Table{}};
  header.checksum = header_checksum(header);
  file.write(&header, sizeof(header), 0);
  file.commit(next_page(end));
}

std::unique_ptr<Hnsw> Hnsw::load(const std::string& path) {
  auto file = std::make_shared<MappedFile>(path);
  Header header;
  check_header(*file, header);
  const Table& last_checked = header.tables[kNumCheckedAtLoad - 1];
  file->will_read(header.tables[0].offset, last_checked.offset + last_checked.num_rows * last_checked.row_bytes);
  check_tables(*file, header, kNumCheckedAtLoad);
  auto index = std::make_unique<Hnsw>(header.options);
  const auto at = [&](int table) { return file->data() + header.tables[table].offset; };
  index->graph_->map({at(0), at(1), at(2), header.num_slots, header.num_upper_rows, header.entry});
  index->codes_->map(at(3), header.num_slots);
  if (index->vectors_) index->vectors_->map(at(4), header.num_slots);
  index->num_dead_ = header.num_dead;
  index->num_drawn_ = header.num_drawn;
  index->next_id_ = header.next_id;
  index->ids_.reserve(header.num_slots - header.num_dead);
  for (uint32_t slot = 0; slot < header.num_slots; ++slot) {
    const Node& node = index->graph_->node(slot);
    if (node.is_live()) index->ids_.set(node.id, slot);
  }
  index->file_ = std::move(file);
  return index;
}

void Hnsw::verify(const std::string& path) {
  const MappedFile file(path);
  Header header;
  check_header(file, header);
  check_tables(file, header, kNumTables);
  check_gaps(file, header);
}

}  // namespace quire::retrieval
