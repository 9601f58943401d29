// Rows of equal size that never move: growing adds chunks, so a reader may follow a row while a writer appends others.
//
// Rows of a mapped file are used in place. Its last chunk is copied when it has to grow; who follows a row of it then
// goes on in the mapping, which stays. Not synchronised: reserve() is for the one writer; a reader only asks for rows
// that were published to it.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quire::retrieval {

class ChunkedRows {
 public:
  static constexpr uint32_t kMaxRows = uint32_t{1} << 30;

  // REQUIRES: row_bytes <= 1 MiB.
  explicit ChunkedRows(size_t row_bytes)
      : row_bytes_(row_bytes),
        shift_(shift_for(row_bytes)),
        chunks_(static_cast<uint8_t**>(std::calloc((kMaxRows >> shift_) + 1, sizeof(uint8_t*)))) {
    if (chunks_ == nullptr) throw std::bad_alloc();
  }

  uint8_t* row(uint32_t i) const {
    return __atomic_load_n(&chunks_.get()[i >> shift_], __ATOMIC_RELAXED) + (i & (rows_per_chunk() - 1)) * row_bytes_;
  }
  size_t row_bytes() const { return row_bytes_; }
  uint32_t rows_per_chunk() const { return uint32_t{1} << shift_; }
  static uint32_t rows_per_chunk(size_t row_bytes) { return uint32_t{1} << shift_for(row_bytes); }
  size_t ram_bytes() const { return owned_.size() * rows_per_chunk() * row_bytes_; }
  size_t mapped_bytes() const { return size_t{num_mapped_} * row_bytes_; }

  void reserve(uint32_t num_rows) {
    if (num_rows > num_mapped_ && num_mapped_ % rows_per_chunk() > 0) own_last_mapped();
    while (num_chunks_ << shift_ < num_rows) add_chunk();
  }

  // Takes over the rows at `base`, which must stay mapped for as long as these rows live. REQUIRES: no rows yet.
  void map(uint8_t* base, uint32_t num_rows) {
    for (; num_chunks_ << shift_ < num_rows; ++num_chunks_) set_chunk(num_chunks_, base + num_chunks_ * chunk_bytes());
    num_mapped_ = num_rows;
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  static constexpr size_t kChunkBytes = 4 << 20, kHugePage = 2 << 20;

  static uint32_t shift_for(size_t row_bytes) { return std::bit_width(kChunkBytes / row_bytes) - 1; }
  size_t chunk_bytes() const { return size_t{rows_per_chunk()} * row_bytes_; }

  void set_chunk(uint32_t i, uint8_t* chunk) { __atomic_store_n(&chunks_.get()[i], chunk, __ATOMIC_RELEASE); }

  void own_last_mapped() {
    const uint32_t last = num_mapped_ >> shift_, rest = num_mapped_ % rows_per_chunk();
    uint8_t* const chunk = new_chunk();
    std::memcpy(chunk, chunks_.get()[last], rest * row_bytes_);
    set_chunk(last, chunk);
    num_mapped_ -= rest;
  }

  void add_chunk() {
    set_chunk(num_chunks_, new_chunk());
    ++num_chunks_;
  }

  uint8_t* new_chunk() {
    const size_t bytes = (chunk_bytes() + kHugePage - 1) / kHugePage * kHugePage;
    auto* chunk = static_cast<uint8_t*>(std::aligned_alloc(kHugePage, bytes));
    if (chunk == nullptr) throw std::bad_alloc();
    owned_.emplace_back(chunk);
#if defined(__linux__)
    // Walks touch rows at random: huge pages spare them a page-table walk each. A small index stays small.
    if (num_chunks_ > 0) madvise(chunk, bytes, MADV_HUGEPAGE);
#endif
    return chunk;
  }

  size_t row_bytes_;
  uint32_t shift_;
  std::unique_ptr<uint8_t*, Free> chunks_;  // a table of fixed size; untouched pages of it cost nothing
  std::vector<std::unique_ptr<uint8_t, Free>> owned_;
  uint32_t num_chunks_ = 0, num_mapped_ = 0;  // num_mapped_: rows that lie in the file
};

}  // namespace quire::retrieval
