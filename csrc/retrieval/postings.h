// Where a term occurs: documents ascending, each with how often, in blocks of 128.
//
//   bytes    [ gap·2 + (frequency > 1) ][ frequency, if > 1 ] …    varints; gap = document - previous document - 1
//   blocks   for every full block: its last document, where its bytes end, and what bounds its scores
//
// Append-only. The last, open block is read like the others.

#pragma once

#include <algorithm>
#include <cstdint>

#include "retrieval/buffer.h"
#include "retrieval/hash.h"
#include "retrieval/varint.h"

namespace quire::retrieval {

class PostingList {
 public:
  static constexpr uint32_t kBlock = 128;

  struct Block {
    uint32_t last_document = 0;
    uint32_t end = 0;  // in bytes
    uint32_t max_frequency = 0;
    uint32_t min_length = UINT32_MAX;
  };

  // What a file holds of a list beside its bytes and blocks.
  struct Entry {
    uint32_t size, last_document, num_bytes, num_blocks;
    Block open;
  };
  PostingList() = default;
  // A view of what lies in a file.
  PostingList(const Entry& entry, uint8_t* bytes, Block* blocks)
      : bytes_(std::span(bytes, entry.num_bytes)),
        blocks_(std::span(blocks, entry.num_blocks)),
        open_(entry.open),
        size_(entry.size),
        last_document_(entry.last_document) {}
  Entry entry() const { return {size_, last_document_, bytes_.size(), blocks_.size(), open_}; }
  const Buffer<uint8_t>& bytes() const { return bytes_; }
  const Buffer<Block>& blocks() const { return blocks_; }

  uint32_t size() const { return size_; }
  uint32_t num_blocks() const { return blocks_.size() + (size_ % kBlock != 0); }
  const Block& block(uint32_t i) const { return i < blocks_.size() ? blocks_[i] : open_; }
  // No document of the block is before this.
  uint32_t first_document(uint32_t i) const { return i == 0 ? 0 : blocks_[i - 1].last_document + 1; }
  uint64_t ram_bytes() const { return bytes_.ram_bytes() + blocks_.ram_bytes(); }
  uint64_t num_bytes() const { return bytes_.size(); }

  // REQUIRES: `document` is greater than all before, `frequency` at least 1.
  void append(uint32_t document, uint32_t frequency, uint32_t length) {
    const uint32_t first = size_ == 0 ? 0 : last_document_ + 1;
    put_varint(bytes_, (document - first) * 2 + (frequency > 1));
    if (frequency > 1) put_varint(bytes_, frequency);
    last_document_ = document;
    open_ = {document, bytes_.size(), std::max(open_.max_frequency, frequency), std::min(open_.min_length, length)};
    if (++size_ % kBlock != 0) return;
    blocks_.push_back(open_);
    open_ = {};
  }

  // Fills both arrays of kBlock and returns how many there are.
  uint32_t decode(uint32_t i, uint32_t* documents, uint32_t* frequencies) const {
    const uint32_t count = std::min(kBlock, size_ - i * kBlock);
    const uint8_t* p = bytes_.data() + (i == 0 ? 0 : blocks_[i - 1].end);
    uint32_t document = first_document(i) - 1;
    for (uint32_t j = 0; j < count; ++j) {
      // Eight single bytes without a frequency, which most are in a long list.
      for (; j + 8 < count; j += 8, p += 8) {
        const auto eight = read_word<uint64_t>(p);
        if (eight & 0x8181818181818181u) break;
        for (uint32_t l = 0; l < 8; ++l) {
          document += p[l] / 2 + 1;
          documents[j + l] = document;
          frequencies[j + l] = 1;
        }
      }
      uint32_t gap;
      p = get_varint(p, gap);
      document += gap / 2 + 1;
      documents[j] = document;
      frequencies[j] = 1;
      if (gap & 1) p = get_varint(p, frequencies[j]);
    }
    return count;
  }

  // 0 where the document is not in the list.
  uint32_t frequency_in(uint32_t document) const {
    uint32_t documents[kBlock], frequencies[kBlock], low = 0, high = num_blocks();
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      if (block(middle).last_document < document) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == num_blocks()) return 0;
    uint32_t* const end = documents + decode(low, documents, frequencies);
    uint32_t* const found = std::lower_bound(documents, end, document);
    return found != end && *found == document ? frequencies[found - documents] : 0;
  }

  // visit(document, frequency), ascending.
  template <class Visit>
  void for_each(const Visit& visit) const {
    uint32_t documents[kBlock], frequencies[kBlock];
    for (uint32_t i = 0; i < num_blocks(); ++i) {
      const uint32_t count = decode(i, documents, frequencies);
      for (uint32_t j = 0; j < count; ++j) visit(documents[j], frequencies[j]);
    }
  }

 private:
  Buffer<uint8_t> bytes_;
  Buffer<Block> blocks_;
  Block open_;
  uint32_t size_ = 0, last_document_ = 0;
};

}  // namespace quire::retrieval
