#include "kernels/rows/embedding.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "kernels/simd/panel.h"
#include "parallel.h"

namespace quire {

namespace {

void check(const int64_t* ids, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count; ++i) {
    if (ids[i] >= 0 && ids[i] < rows) continue;
    throw std::out_of_range("the token id " + std::to_string(ids[i]) + " is outside of the vocabulary of " +
                            std::to_string(rows));
  }
}

}  // namespace

void embedding(const Embedding& args) {
  check(args.ids, args.count, args.rows);
  constexpr int64_t kBytesWorthAThread = 256 << 10;
  parallel_ranges(args.count, kBytesWorthAThread / args.row_bytes + 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::memcpy(args.out + i * args.row_bytes, args.table + args.ids[i] * args.row_bytes, args.row_bytes);
    }
  });
}

void embedding_int8(const EmbeddingInt8& args) {
  check(args.ids, args.count, args.rows);
  constexpr int64_t kRowsWorthAThread = 16;
  const int64_t steps = (args.width + 3) / 4;
  parallel_ranges(args.count, kRowsWorthAThread, [&](int64_t begin, int64_t end) {
    with_dtype(args.dtype, [&]<class T>(T) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = args.ids[i], panel = row / kPanelColumns, column = row % kPanelColumns;
        const uint8_t* from = args.data + (panel * steps * kPanelColumns + column) * 4;
        T* out = static_cast<T*>(args.out) + i * args.width;
        for (int64_t j = 0; j < args.width; ++j) {
          const int32_t q = from[j / 4 * kPanelColumns * 4 + j % 4] - 128;
          out[j] = from_float<T>(args.scales[row] * static_cast<float>(q));
        }
      }
    });
  });
}

}  // namespace quire
