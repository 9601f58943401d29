// Where in each document a term occurs: beside a PostingList, posting for posting, one varint for each occurrence.
//
//   bytes   [ first position ][ gap ] … of the first posting, then of the next …      gap = position - previous - 1
//   ends    where the bytes of each full block of postings end
//
// How many there are of a posting is its frequency, which the PostingList has. Append-only; may be a view of a mapped
// file, whose bytes are checked as they are read: CorruptIndex is thrown.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "retrieval/buffer.h"
#include "retrieval/postings/postings.h"

namespace quire::retrieval {

class PositionList {
 public:
  PositionList() = default;
  // A view of what lies in a file.
  PositionList(std::span<uint8_t> bytes, std::span<uint32_t> ends) : bytes_(bytes), ends_(ends) {}
  const Buffer<uint8_t>& bytes() const { return bytes_; }
  const Buffer<uint32_t>& ends() const { return ends_; }
  uint64_t ram_bytes() const { return bytes_.ram_bytes() + ends_.ram_bytes(); }
  uint64_t num_bytes() const { return bytes_.size() + ends_.size() * sizeof(uint32_t); }

  // Of the posting `place`. REQUIRES: postings in their order; positions ascend, at least one.
  template <class Positions>
  void append(uint32_t place, const Positions& positions) {
    uint32_t next = 0;
    for (const uint32_t position : positions) put(position - next), next = position + 1;
    if ((place + 1) % PostingList::kBlock == 0) ends_.push_back(bytes_.size());
  }

  // Where the positions of a block's postings begin.
  const uint8_t* begin(uint32_t block) const { return bytes_.data() + (block == 0 ? 0 : ends_[block - 1]); }
  // Passes over so many positions.
  const uint8_t* skip(const uint8_t* p, uint64_t count) const;
  // Reads so many into `out`, which it empties first.
  const uint8_t* read(const uint8_t* p, uint32_t count, std::vector<uint32_t>& out) const;

 private:
  void put(uint32_t gap);
  const uint8_t* end() const { return bytes_.data() + bytes_.size(); }

  Buffer<uint8_t> bytes_;
  Buffer<uint32_t> ends_;
};

}  // namespace quire::retrieval
