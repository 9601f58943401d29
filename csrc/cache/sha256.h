// SHA-256 (FIPS 180-4) of messages of one fixed shape: a parent digest and a block of token ids.
//
// REQUIRES of compress: `blocks` points to num_blocks * 64 bytes of a message that is padded already. Thread-safe: no
// state but the arguments.

#pragma once

#include <cstddef>
#include <cstdint>

namespace quire::sha256 {

inline constexpr size_t kDigestBytes = 32;
inline constexpr size_t kBlockBytes = 64;
inline constexpr uint32_t kInitialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                              0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

using Compress = void (*)(uint32_t state[8], const uint8_t* blocks, size_t num_blocks);

void compress_portable(uint32_t state[8], const uint8_t* blocks, size_t num_blocks);

// The fastest one this processor has: its SHA instructions, or the portable one.
Compress best_compress();

// Bytes of the padded message of a `num_bytes` long one.
constexpr size_t padded_bytes(size_t num_bytes) {
  return (num_bytes + 9 + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

// Writes the padding of a `num_bytes` long message behind it. REQUIRES: room for padded_bytes(num_bytes).
void pad(uint8_t* message, size_t num_bytes);

void store_digest(const uint32_t state[8], uint8_t digest[kDigestBytes]);

}  // namespace quire::sha256
