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

// One register tile of rows times one panel; `ahead` is fetched meanwhile, ahead_stride bytes a step.
template <Isa I, int kRows, int kLines, class T>
QUIRE_INLINE void int8_tile(const LinearInt8& args, const QuantizedRows& rows, int64_t panel, int64_t first,
                            const std::byte* ahead, int64_t ahead_stride) {
  using V = Simd<I>;
  using Ops = PanelOps<I, int8_t>;
  constexpr int kVectors = RegisterTile<I>::kVectors;
  const int64_t steps = rows.width / 4;
  const auto* a = reinterpret_cast<const uint32_t*>(rows.q) + first * steps;
  const auto* b = reinterpret_cast<const uint32_t*>(args.data) + panel * steps * kPanelColumns;
  for (int64_t column = 0; column < kPanelColumns; column += kVectors * V::kWidth) {
    typename Ops::Acc acc[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) std::fill_n(acc[r], kVectors, Ops::set(-128 * rows.sums[first + r]));
    multiply_tile<Ops>(a, steps, b + column, steps, acc, [&](int64_t s) {
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
}

template <Isa I>
void linear_int8_panels(const LinearInt8& args, const QuantizedRows& rows, int64_t begin, int64_t end) {
  constexpr int kRows = RegisterTile<I>::kRows;
  const int64_t panel_bytes = rows.width * kPanelColumns, step_bytes = 4 * kPanelColumns;
  const int64_t tiles = (args.rows + kRows - 1) / kRows;
  with_dtype(args.dtype, [&]<class T>(T) {
    for (int64_t panel = begin; panel < end; ++panel) {
      // While a panel is multiplied, its tiles fetch the next one between them, so memory and arithmetic overlap.
      const std::byte* next = reinterpret_cast<const std::byte*>(args.data) + (panel + 1) * panel_bytes;
      int64_t tile = 0;
      for_row_tiles<kRows>(args.rows, [&](auto height, int64_t first) {
        if (tiles == 1) {
          int8_tile<I, height(), 4, T>(args, rows, panel, first, next, step_bytes);
        } else if (tiles <= 3) {
          int8_tile<I, height(), 2, T>(args, rows, panel, first, next + tile * panel_bytes / tiles, step_bytes / tiles);
        } else {
          int8_tile<I, height(), 1, T>(args, rows, panel, first, next + tile * panel_bytes / tiles, step_bytes / tiles);
        }
        ++tile;
      });
    }
  });
}

}  // namespace quire
