// The digest chain of a token list: digest[i] = SHA-256(digest[i - 1] || token ids of block i as int32 little-endian).
//
// A digest stands for its block and all tokens before it, so equal digests mean equal prefixes. Only full blocks have
// one. Thread-safe: no state but the arguments.

#pragma once

#include <cstddef>
#include <cstdint>

namespace quire {

// Writes num_blocks digests of 32 bytes each. `parent` is the digest before the first block (32 bytes).
void digest_chain(const uint8_t* parent, const int32_t* token_ids, size_t num_blocks, size_t block_size,
                  uint8_t* digests);

}  // namespace quire
