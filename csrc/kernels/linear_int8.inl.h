// The panels of linear_int8.h over one instruction set.

#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/linear_int8.h"
#include "kernels/panel.h"
#include "kernels/quantized_rows.inl.h"

namespace quire {

template <Isa I>
void pack_int8_panel(const PackInt8& args, int64_t panel, std::byte* scratch) {
  const int64_t steps = (args.inputs + 3) / 4, first = panel * kPanelColumns;
  const int64_t count = std::min(kPanelColumns, args.outputs - first);
  int32_t sums[kPanelColumns];
  const QuantizedRows rows{reinterpret_cast<int8_t*>(scratch), args.scales + first, sums, 4 * steps, 4 * steps};
  const auto* weight = static_cast<const std::byte*>(args.weight) + first * args.inputs * size_of(args.dtype);
  quantize_rows<I>(weight, args.dtype, args.inputs, 0, count, rows);
  std::memset(rows.q + count * rows.width, 0, (kPanelColumns - count) * rows.width);
  std::fill(args.scales + first + count, args.scales + first + kPanelColumns, 0.0f);
  auto* units = reinterpret_cast<uint32_t*>(args.data) + panel * steps * kPanelColumns;
  for (int64_t s = 0; s < steps; ++s) {
    for (int64_t j = 0; j < kPanelColumns; ++j) {
      uint32_t unit;
      std::memcpy(&unit, rows.q + j * rows.width + 4 * s, 4);
      units[s * kPanelColumns + j] = unit ^ 0x80808080;  // + 128, byte by byte
    }
  }
}

// One register tile: kRows rows times kVectors vectors of a panel from `column` on. `ahead` is fetched meanwhile,
// kLines cache lines at each step, ahead_stride bytes apart.
template <Isa I, int kRows, int kVectors, int kLines, class T>
QUIRE_INLINE void int8_tile(const LinearInt8& args, const QuantizedRows& rows, int64_t panel, int64_t column,
                            int64_t first, const std::byte* ahead, int64_t ahead_stride) {
  using V = Simd<I>;
  using Ops = PanelOps<I, int8_t>;
  const int64_t steps = rows.width / 4;
  const auto* a = reinterpret_cast<const uint32_t*>(rows.q) + first * steps;
  const auto* b = reinterpret_cast<const uint32_t*>(args.data) + panel * steps * kPanelColumns + column;
  typename Ops::Acc acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) std::fill_n(acc[r], kVectors, Ops::set(-Ops::kOffset * rows.sums[first + r]));
  multiply_tile<Ops>(a, steps, b, steps, acc, [&](int64_t s) {
    for (int line = 0; line < kLines; ++line) __builtin_prefetch(ahead + s * ahead_stride + line * 64, 0, 2);
  });
  for (int n = 0; n < kVectors; ++n) {
    const int64_t o = panel * kPanelColumns + column + n * V::kWidth;
    const int64_t count = std::min<int64_t>(V::kWidth, args.outputs - o);
    if (count <= 0) break;
    const auto bias = args.bias ? V::load_first(static_cast<const T*>(args.bias) + o, count) : V::zero();
    for (int r = 0; r < kRows; ++r) {
      const auto scale = V::mul(V::load(args.scales + o), V::set(rows.scales[first + r]));
      V::store_first(static_cast<T*>(args.out) + (first + r) * args.outputs + o,
                     V::fma(Ops::to_float(acc[r][n]), scale, bias), count);
    }
  }
}

// One panel in tiles of kVectors vectors; the columns of a tile stay in the first-level cache for all rows. Its tiles
// fetch the next panel between them, so that memory and arithmetic overlap.
template <Isa I, int kRows, int kVectors, class T>
QUIRE_INLINE void int8_panel(const LinearInt8& args, const QuantizedRows& rows, int64_t panel) {
  constexpr int64_t kColumns = kVectors * Simd<I>::kWidth, kStepBytes = 4 * kPanelColumns;
  const int64_t panel_bytes = rows.width * kPanelColumns;
  const int64_t tiles = (args.rows + kRows - 1) / kRows * (kPanelColumns / kColumns);
  const std::byte* next = reinterpret_cast<const std::byte*>(args.data) + (panel + 1) * panel_bytes;
  int64_t tile = 0;
  for (int64_t column = 0; column < kPanelColumns; column += kColumns) {
    for_row_tiles<kRows>(args.rows, [&](auto height, int64_t first) {
      const std::byte* ahead = next + tile * panel_bytes / tiles;
      if (tiles == 1) {
        int8_tile<I, height(), kVectors, 4, T>(args, rows, panel, column, first, ahead, kStepBytes);
      } else if (tiles <= 3) {
        int8_tile<I, height(), kVectors, 2, T>(args, rows, panel, column, first, ahead, kStepBytes / tiles);
      } else {
        int8_tile<I, height(), kVectors, 1, T>(args, rows, panel, column, first, ahead, kStepBytes / tiles);
      }
      ++tile;
    });
  }
}

template <Isa I>
void linear_int8_panels(const LinearInt8& args, const QuantizedRows& rows, int64_t begin, int64_t end) {
  using Ops = PanelOps<I, int8_t>;
  with_dtype(args.dtype, [&]<class T>(T) {
    for (int64_t panel = begin; panel < end; ++panel) {
      if (args.rows == 1) {
        int8_panel<I, 1, Ops::num_vectors(1), T>(args, rows, panel);
      } else if (args.rows == 2) {
        int8_panel<I, 2, Ops::num_vectors(2), T>(args, rows, panel);
      } else {
        int8_panel<I, Ops::kRows, Ops::num_vectors(Ops::kRows), T>(args, rows, panel);
      }
    }
  });
}

}  // namespace quire
