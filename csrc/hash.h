// A fast 64-bit hash of bytes: 16 bytes per 64×64→128-bit multiplication, the two halves of the product folded
// together.
//
// Values are the same in every process and on every little-endian machine, so they may be written to files.
// Not for untrusted keys: whoever knows the seed can make collisions.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace quire {

inline uint64_t fold_product(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

template <class Word>
uint64_t read_word(const void* p) {
  Word word;
  std::memcpy(&word, p, sizeof(word));
  return word;
}

// A bijection whose every output bit depends on every input bit.
inline uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  x = (x ^ (x >> 29)) * 0xa0761d64e95b1f27u;
  return x ^ (x >> 32);
}

inline uint64_t hash_bytes(const void* data, size_t num_bytes, uint64_t seed) {
  constexpr uint64_t kOdd1 = 0x9e3779b97f4a7c15u, kOdd2 = 0xc2b2ae3d27d4eb4fu, kOdd3 = 0x85ebca77c2b2ae63u;
  const auto* p = static_cast<const unsigned char*>(data);
  uint64_t state = seed ^ kOdd1;
  size_t left = num_bytes;
  for (; left > 16; left -= 16, p += 16) {
    state = fold_product(read_word<uint64_t>(p) ^ state, read_word<uint64_t>(p + 8) ^ kOdd2);
  }
  uint64_t a = 0, b = 0;  // the last 0 to 16 bytes; the two reads may overlap
  if (left >= 8) {
    a = read_word<uint64_t>(p), b = read_word<uint64_t>(p + left - 8);
  } else if (left >= 4) {
    a = read_word<uint32_t>(p), b = read_word<uint32_t>(p + left - 4);
  } else if (left > 0) {
    a = uint64_t{p[0]} | uint64_t{p[left / 2]} << 8 | uint64_t{p[left - 1]} << 16;
  }
  return fold_product(fold_product(a ^ state, b ^ kOdd3) ^ num_bytes, kOdd2);
}

}  // namespace quire
