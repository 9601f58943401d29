// Whole numbers in as few bytes as they need: seven bits a byte, low ones first, the high bit set on all but the last.

#pragma once

#include <cstdint>

namespace quire::retrieval {

template <class Bytes>
void put_varint(Bytes& out, uint32_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<uint8_t>(value));
}

inline const uint8_t* get_varint(const uint8_t* p, uint32_t& value) {
  value = *p++;
  if (value < 0x80) [[likely]]
    return p;
  value &= 0x7f;
  for (int shift = 7;; shift += 7) {
    const uint32_t byte = *p++;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return p;
  }
}

}  // namespace quire::retrieval
