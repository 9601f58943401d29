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

// Stops at `end`, whatever the bytes say: what it returns then is no value that was put.
inline const uint8_t* get_varint(const uint8_t* p, const uint8_t* end, uint32_t& value) {
  if (p < end && *p < 0x80) [[likely]] {
    value = *p;
    return p + 1;
  }
  value = 0;
  for (uint32_t shift = 0; p < end && shift < 32; shift += 7) {
    const uint32_t byte = *p++;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return p;
}

}  // namespace quire::retrieval
