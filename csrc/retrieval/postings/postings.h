// Where a term occurs: documents ascending, each with how often, in blocks of 128.
//
//   bytes    [ full blocks, bit-packed (posting_kernels.h) ][ slack ][ tail: the postings that do not fill one ]
//   tail     [ gap·2 + (frequency > 1) ][ frequency, if > 1 ] …    varints; gap = document - previous document - 1
//   blocks   of every full block: its last document, where its bytes end, its widths, and what bounds its scores
//
// Append-only; the tail is read like the other blocks. It may be a view of a mapped file, whose blocks and entries are
// sound but whose bytes need not be: what is read from these is checked, and CorruptIndex is thrown.

#pragma once

#include <algorithm>
#include <cstdint>

#include "retrieval/buffer.h"
#include "retrieval/postings/bm25.h"
#include "retrieval/postings/posting_kernels.h"

namespace quire::retrieval {

// No posting among those that it bounds scores more than the better of two: one with frequency[0] in a document of
// length[0], or one with frequency[1] and length[1]. Numbers too great are kept as the greatest.
struct ImpactBound {
  uint16_t frequency[2], length[2];

  float operator()(const Impact& impact) const { return std::max(at(impact, 0), at(impact, 1)); }
  bool covers(uint32_t f, uint32_t l) const {
    return (f <= at_least(0) && l >= length[0]) || (f <= at_least(1) && l >= length[1]);
  }

 private:
  uint32_t at_least(int i) const { return frequency[i] == UINT16_MAX ? UINT32_MAX : frequency[i]; }
  float at(const Impact& impact, int i) const { return impact(at_least(i), length[i]); }
};

class PostingList {
 public:
  static constexpr uint32_t kBlock = kPostingBlock;

  struct Block {
    uint32_t last_document, end;  // of its bytes
    Widths widths;
    ImpactBound bound;
  };
  // What a file holds of a list beside its bytes and blocks.
  struct Entry {
    uint32_t size, last_document, num_bytes;
    ImpactBound tail_bound;
  };

  PostingList() = default;
  // A view of what lies in a file.
  PostingList(const Entry& entry, uint8_t* bytes, Block* blocks);
  Entry entry() const { return {size_, last_document_, bytes_.size(), tail_bound_}; }
  const Buffer<uint8_t>& bytes() const { return bytes_; }
  const Buffer<Block>& blocks() const { return blocks_; }
  uint64_t ram_bytes() const { return bytes_.ram_bytes() + blocks_.ram_bytes(); }
  uint64_t num_bytes() const { return bytes_.size() + blocks_.size() * sizeof(Block); }

  // REQUIRES: `document` is greater than all before, `frequency` at least 1; lengths[d] of all documents in the list.
  // `scorer` says which bounds are tight; they hold for any.
  void append(uint32_t document, uint32_t frequency, const uint32_t* lengths, const Bm25& scorer) {
    put_tail(document, frequency, lengths[document]);
    if (++size_ % kBlock == 0) pack_tail(lengths, scorer);
  }

  // Fetches what append() is about to touch.
  void prefetch() const { __builtin_prefetch(bytes_.data() + bytes_.size(), 1); }

  uint32_t size() const { return size_; }
  uint32_t num_blocks() const { return blocks_.size() + (size_ % kBlock != 0); }
  uint32_t last_document(uint32_t i) const { return i < blocks_.size() ? blocks_[i].last_document : last_document_; }
  // No document of the block is before this.
  uint32_t first_document(uint32_t i) const { return i == 0 ? 0 : blocks_[i - 1].last_document + 1; }
  const ImpactBound& bound(uint32_t i) const { return i < blocks_.size() ? blocks_[i].bound : tail_bound_; }
  bool is_packed(uint32_t i) const { return i < blocks_.size(); }

  // Both arrays of a block; returns how many there are. The rest of kBlock is filled with the last document.
  uint32_t read(uint32_t i, const PostingKernels& kernels, uint32_t* documents, uint32_t* frequencies) const;
  // The same in parts. REQUIRES: is_packed(i).
  void read_documents(uint32_t i, const PostingKernels& kernels, uint32_t* documents) const;
  void read_frequencies(uint32_t i, const PostingKernels& kernels, uint32_t* frequencies) const;
  uint32_t frequency_at(uint32_t i, uint32_t place) const;

  // 0 where the document is not in the list.
  uint32_t frequency_in(uint32_t document) const;

  // visit(document, frequency), ascending.
  template <class Visit>
  void for_each(const Visit& visit) const {
    uint32_t documents[kBlock], frequencies[kBlock];
    for (uint32_t i = 0; i < num_blocks(); ++i) {
      const uint32_t count = read(i, posting_kernels(), documents, frequencies);
      for (uint32_t j = 0; j < count; ++j) visit(documents[j], frequencies[j]);
    }
  }

 private:
  uint32_t tail_begin() const { return blocks_.empty() ? 0 : blocks_.back().end + kPackedSlack; }
  const uint8_t* packed(uint32_t i) const { return bytes_.data() + (i == 0 ? 0 : blocks_[i - 1].end); }
  const uint8_t* packed_frequencies(uint32_t i) const;
  uint32_t block_of(uint32_t document) const;
  void put_tail(uint32_t document, uint32_t frequency, uint32_t length);
  void read_tail(uint32_t count, uint32_t* documents, uint32_t* frequencies) const;
  void pack_tail(const uint32_t* lengths, const Bm25& scorer);

  Buffer<uint8_t> bytes_;
  Buffer<Block> blocks_;
  uint32_t size_ = 0, last_document_ = 0;
  ImpactBound tail_bound_{};
};

}  // namespace quire::retrieval
