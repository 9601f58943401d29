#include "retrieval/postings/postings.h"

#include <bit>
#include <numeric>

#include "retrieval/errors.h"
#include "retrieval/postings/varint.h"

namespace quire::retrieval {
namespace {

uint16_t at_most_uint16(uint32_t value) { return static_cast<uint16_t>(std::min<uint32_t>(value, UINT16_MAX)); }

uint32_t bits_of_greatest(const uint32_t* values) {
  return std::bit_width(std::accumulate(values, values + kQuarter, 0u, std::bit_or<>()));
}

uint8_t frequency_code(uint32_t bits) {
  uint8_t code = 0;
  while (kFrequencyWidths[code] < bits) ++code;
  return code;
}

void pack_quarter(const uint32_t* values, uint32_t width, Buffer<uint8_t>& out) {
  uint64_t waiting = 0;
  uint32_t num_waiting = 0;
  for (uint32_t i = 0; i < kQuarter; ++i) {
    waiting |= uint64_t{values[i]} << num_waiting;
    for (num_waiting += width; num_waiting >= 8; num_waiting -= 8, waiting >>= 8) {
      out.push_back(static_cast<uint8_t>(waiting));
    }
  }
}

// The tightest of the bounds that split a block by frequency: the rarer ones with their shortest document, and all
// the others with theirs. Frequencies from kSplits on stay together.
ImpactBound bound_block(const uint32_t* documents, const uint32_t* frequencies, const uint32_t* lengths,
                        const Impact& part) {
  constexpr uint32_t kSplits = 32;
  std::array<uint32_t, kSplits + 2> shortest_with, shortest_from;  // by frequency
  shortest_with.fill(UINT32_MAX);
  uint32_t greatest = 0;
  for (uint32_t i = 0; i < kPostingBlock; ++i) {
    uint32_t& shortest = shortest_with[std::min(frequencies[i], kSplits)];
    shortest = std::min(shortest, lengths[documents[i]]);
    greatest = std::max(greatest, frequencies[i]);
  }
  const uint32_t last = std::min(greatest, kSplits);
  shortest_from[last + 1] = UINT32_MAX;
  for (uint32_t f = last; f > 0; --f) shortest_from[f] = std::min(shortest_from[f + 1], shortest_with[f]);
  ImpactBound best{};
  float least = INFINITY;
  for (uint32_t f = 1, shortest = UINT32_MAX; f <= last; ++f) {
    if (shortest_with[f] == UINT32_MAX) continue;
    shortest = std::min(shortest, shortest_with[f]);
    const ImpactBound bound{{at_most_uint16(f == last ? greatest : f), at_most_uint16(greatest)},
                            {at_most_uint16(shortest), at_most_uint16(shortest_from[f + 1])}};
    const float value = bound(part);
    if (value < least) best = bound, least = value;
  }
  return best;
}

}  // namespace

PostingList::PostingList(const Entry& entry, uint8_t* bytes, Block* blocks)
    : bytes_(std::span(bytes, entry.num_bytes)),
      blocks_(std::span(blocks, entry.size / kBlock)),
      size_(entry.size),
      last_document_(entry.last_document),
      tail_bound_(entry.tail_bound) {}

void PostingList::put_tail(uint32_t document, uint32_t frequency, uint32_t length) {
  const uint32_t first = size_ == 0 ? 0 : last_document_ + 1;
  put_varint(bytes_, (document - first) * 2 + (frequency > 1));
  if (frequency > 1) put_varint(bytes_, frequency);
  last_document_ = document;
  const bool is_first = size_ % kBlock == 0;
  const uint16_t most = at_most_uint16(frequency), least = at_most_uint16(length);
  const uint16_t f = is_first ? most : std::max(tail_bound_.frequency[0], most);
  const uint16_t l = is_first ? least : std::min(tail_bound_.length[0], least);
  tail_bound_ = {{f, f}, {l, l}};
}

void PostingList::read_tail(uint32_t count, uint32_t* documents, uint32_t* frequencies) const {
  const uint8_t *p = bytes_.data() + tail_begin(), *const end = bytes_.data() + bytes_.size();
  uint32_t document = first_document(blocks_.size()) - 1;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t gap = 0, frequency = 1;
    p = get_varint(p, end, gap);
    if (gap & 1) p = get_varint(p, end, frequency);
    document += gap / 2 + 1;
    if (document > last_document_) break;
    documents[i] = document;
    frequencies[i] = frequency;
  }
  if (p != end || document != last_document_) throw CorruptIndex("a list of postings is damaged; rebuild the index");
}

// The tail, whose postings fill a block, becomes one.
void PostingList::pack_tail(const uint32_t* lengths, const Bm25& scorer) {
  uint32_t documents[kBlock], frequencies[kBlock], gaps[kBlock];
  read_tail(kBlock, documents, frequencies);
  uint32_t next = first_document(blocks_.size());
  for (uint32_t i = 0; i < kBlock; ++i) gaps[i] = documents[i] - next, next = documents[i] + 1;
  Block block{last_document_, 0, {}, bound_block(documents, frequencies, lengths, scorer.part())};
  for (uint32_t& frequency : frequencies) --frequency;
  bytes_.truncate(blocks_.empty() ? 0 : blocks_.back().end);
  for (uint32_t q = 0; q < kNumQuarters; ++q) {
    const uint32_t bits = bits_of_greatest(gaps + q * kQuarter);
    const uint8_t code = frequency_code(bits_of_greatest(frequencies + q * kQuarter));
    block.widths[q] = static_cast<uint8_t>(bits | code << 5);
    pack_quarter(gaps + q * kQuarter, bits, bytes_);
  }
  for (uint32_t q = 0; q < kNumQuarters; ++q) {
    pack_quarter(frequencies + q * kQuarter, frequency_width(block.widths[q]), bytes_);
  }
  block.end = bytes_.size();
  constexpr uint8_t kZeros[kPackedSlack] = {};
  bytes_.append(kZeros, kPackedSlack);
  blocks_.push_back(block);
}

const uint8_t* PostingList::packed_frequencies(uint32_t i) const {
  const uint8_t* p = packed(i);
  for (const uint8_t widths : blocks_[i].widths) p += 4 * gap_width(widths);
  return p;
}

void PostingList::read_documents(uint32_t i, const PostingKernels& kernels, uint32_t* documents) const {
  const uint32_t greatest = kernels.documents(packed(i), blocks_[i].widths, first_document(i), documents);
  if (greatest != blocks_[i].last_document) throw CorruptIndex("a block of postings is damaged; rebuild the index");
}

void PostingList::read_frequencies(uint32_t i, const PostingKernels& kernels, uint32_t* frequencies) const {
  kernels.frequencies(packed_frequencies(i), blocks_[i].widths, frequencies);
}

uint32_t PostingList::frequency_at(uint32_t i, uint32_t place) const {
  const uint8_t* p = packed_frequencies(i);
  for (uint32_t q = 0; q < place / kQuarter; ++q) p += 4 * frequency_width(blocks_[i].widths[q]);
  return unpack_one(p, frequency_width(blocks_[i].widths[place / kQuarter]), place % kQuarter) + 1;
}

uint32_t PostingList::read(uint32_t i, const PostingKernels& kernels, uint32_t* documents,
                           uint32_t* frequencies) const {
  if (is_packed(i)) {
    read_documents(i, kernels, documents);
    read_frequencies(i, kernels, frequencies);
    return kBlock;
  }
  const uint32_t count = size_ % kBlock;
  read_tail(count, documents, frequencies);
  std::fill(documents + count, documents + kBlock, last_document_);
  std::fill(frequencies + count, frequencies + kBlock, 1);
  return count;
}

uint32_t PostingList::block_of(uint32_t document) const {
  const auto found = std::partition_point(blocks_.begin(), blocks_.end(),
                                          [&](const Block& block) { return block.last_document < document; });
  return static_cast<uint32_t>(found - blocks_.begin());
}

uint32_t PostingList::frequency_in(uint32_t document) const {
  const uint32_t i = block_of(document);
  if (i == num_blocks()) return 0;
  uint32_t documents[kBlock], frequencies[kBlock];
  const uint32_t count = read(i, posting_kernels(), documents, frequencies);
  const uint32_t* const found = std::lower_bound(documents, documents + count, document);
  return found != documents + count && *found == document ? frequencies[found - documents] : 0;
}

}  // namespace quire::retrieval
