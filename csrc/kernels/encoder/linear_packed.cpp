#include "kernels/encoder/linear_packed.h"

#include <algorithm>

#include "kernels/scratch.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

namespace {

// Rows whose units stay in the second-level cache while band after band is multiplied with them, in whole tiles.
int64_t rows_per_block(const PackedShape& shape, int64_t rows) {
  constexpr int64_t kBlockBytes = 192 << 10, kTileRows = 6;
  const int64_t row_bytes = shape.inputs * size_of(shape.dtype);
  const int64_t tiles = std::clamp<int64_t>(kBlockBytes / row_bytes / kTileRows, 4, 32);
  const int64_t blocks = (rows + tiles * kTileRows - 1) / (tiles * kTileRows);
  return (rows + blocks - 1) / blocks;
}

}  // namespace

int64_t packed_linear_bytes(const PackedShape& shape) {
  int64_t bytes = 0;
  with_isa([&](auto isa) { bytes = shape.bands() * packed_band_bytes<isa()>(shape); });
  return bytes;
}

void pack_linear(const PackedShape& shape, const void* weight, std::byte* data) {
  with_isa([&](auto isa) {
    parallel_items(shape.bands(), [&](int64_t band) { pack_linear_band<isa()>(shape, weight, data, band); });
  });
}

void linear_packed(const LinearPacked& args) {
  if (args.rows == 0) return;
  const int64_t bands = args.shape.bands(), height = rows_per_block(args.shape, args.rows);
  const int64_t blocks = (args.rows + height - 1) / height;
  with_isa([&](auto isa) {
    if (blocks == 1) {  // every thread reads one run of memory
      return parallel_ranges(bands, 1, [&](int64_t first, int64_t last) {
        std::byte* scratch = thread_scratch(packed_rows_bytes<isa()>(args.shape, args.rows));
        for (int64_t i = first; i < last; ++i) linear_packed_band<isa()>(args, i, 0, args.rows, scratch);
      });
    }
    parallel_items(bands * blocks, [&](int64_t i) {
      const int64_t begin = i / bands * height, end = std::min(begin + height, args.rows);
      std::byte* scratch = thread_scratch(packed_rows_bytes<isa()>(args.shape, end - begin));
      linear_packed_band<isa()>(args, i % bands, begin, end, scratch);
    });
  });
}

}  // namespace quire
