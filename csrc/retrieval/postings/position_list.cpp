#include "retrieval/postings/position_list.h"

#include "retrieval/errors.h"
#include "retrieval/postings/varint.h"

namespace quire::retrieval {
namespace {

[[noreturn]] void refuse() { throw CorruptIndex("a list of positions is damaged; rebuild the index"); }

}  // namespace

void PositionList::put(uint32_t gap) { put_varint(bytes_, gap); }

const uint8_t* PositionList::skip(const uint8_t* p, uint64_t count) const {
  for (; count > 0 && p < end(); ++p) count -= *p < 0x80;
  if (count > 0) refuse();
  return p;
}

const uint8_t* PositionList::read(const uint8_t* p, uint32_t count, std::vector<uint32_t>& out) const {
  out.clear();
  uint32_t next = 0;
  for (; count > 0 && p < end(); --count) {
    uint32_t gap = 0;
    p = get_varint(p, end(), gap);
    out.push_back(next + gap);
    next = out.back() + 1;
  }
  if (count > 0) refuse();
  return p;
}

}  // namespace quire::retrieval
