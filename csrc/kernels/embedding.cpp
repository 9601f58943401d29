#include "kernels/embedding.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace quire {

void embedding(const Embedding& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    if (args.ids[i] < 0 || args.ids[i] >= args.rows) {
      throw std::out_of_range("the token id " + std::to_string(args.ids[i]) + " is outside of the vocabulary of " +
                              std::to_string(args.rows));
    }
  }
  constexpr int64_t kBytesWorthAThread = 256 << 10;
  parallel_ranges(args.count, kBytesWorthAThread / args.row_bytes + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(args.out + i * args.row_bytes, args.table + args.ids[i] * args.row_bytes, args.row_bytes);
    }
  });
}

}  // namespace quire
