#include "cache/digest_chain.h"

#include <bit>
#include <cstring>
#include <vector>

#include "cache/sha256.h"

static_assert(std::endian::native == std::endian::little, "token ids are hashed in the memory's own byte order");

namespace quire {

void digest_chain(const uint8_t* parent, const int32_t* token_ids, size_t num_blocks, size_t block_size,
                  uint8_t* digests) {
  using namespace sha256;
  const Compress compress = best_compress();
  const size_t num_token_bytes = block_size * sizeof(int32_t);
  const size_t num_bytes = kDigestBytes + num_token_bytes;
  // message  [ parent digest | token ids | padding ]; the padding is the same for every block of the chain.
  //          0              32          num_bytes  padded_bytes
  std::vector<uint8_t> message(padded_bytes(num_bytes));
  pad(message.data(), num_bytes);
  for (size_t i = 0; i < num_blocks; ++i) {
    std::memcpy(message.data(), parent, kDigestBytes);
    std::memcpy(message.data() + kDigestBytes, token_ids + i * block_size, num_token_bytes);
    uint32_t state[8];
    std::memcpy(state, kInitialState, sizeof(state));
    compress(state, message.data(), message.size() / kBlockBytes);
    store_digest(state, digests + i * kDigestBytes);
    parent = digests + i * kDigestBytes;
  }
}

}  // namespace quire
