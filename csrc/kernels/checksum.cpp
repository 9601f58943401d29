#include "kernels/checksum.h"

#include <algorithm>
#include <vector>

#include "hash.h"
#include "parallel.h"

namespace quire {

uint64_t checksum(const std::byte* data, int64_t num_bytes) {
  constexpr int64_t kPieceBytes = 1 << 20;
  std::vector<uint64_t> pieces((num_bytes + kPieceBytes - 1) / kPieceBytes);
  parallel_items(pieces.size(), [&](int64_t i) {
    const int64_t begin = i * kPieceBytes, end = std::min(begin + kPieceBytes, num_bytes);
    pieces[i] = hash_bytes(data + begin, end - begin, i);
  });
  return hash_bytes(pieces.data(), pieces.size() * sizeof(uint64_t), num_bytes);
}

}  // namespace quire
