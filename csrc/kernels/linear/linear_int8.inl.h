// The panels of linear_int8.h over one instruction set.

#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/linear/linear_int8.h"
#include "kernels/linear/quantized_rows.inl.h"
#include "kernels/scratch.h"
#include "kernels/simd/panel.h"

namespace quire {

template <Isa I>
void pack_int8_panel(const PackInt8& args, int64_t panel, std::byte* scratch) {
  const int64_t steps = (args.inputs + 3) / 4, first = panel * kPanelColumns;
  const int64_t count = std::min(kPanelColumns, args.outputs - first);
  int32_t sums[kPanelColumns];
  const QuantizedRows rows{
      reinterpret_cast<int8_t*>(scratch), args.scales + first, sums, 4 * steps, 4 * steps, nullptr};
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

// A tile of sums on its way out, from `output` on. Every loop over the sums is unrolled, here and where they are made,
// because GCC else keeps them in memory.
template <Isa I, class T, int kRows, int kVectors, class Acc>
QUIRE_INLINE void store_int8_tile(const LinearInt8& args, const QuantizedRows& rows, int64_t output, int64_t first,
                                  const Acc (&acc)[kRows][kVectors]) {
  using V = Simd<I>;
#pragma GCC unroll 8
  for (int n = 0; n < kVectors; ++n) {
    const int64_t o = output + n * V::kWidth, count = std::min<int64_t>(V::kWidth, args.outputs - o);
    if (count > 0) {
      const auto bias = args.bias ? V::load_first(static_cast<const T*>(args.bias) + o, count) : V::zero();
      const auto column_scale = V::load(args.scales + o);
      T* out = static_cast<T*>(args.out) + first * args.outputs + o;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const auto scale = V::mul(column_scale, V::set(rows.scales[first + r]));
        const auto value = V::fma(PanelOps<I, int8_t>::to_float(acc[r][n]), scale, bias);
        if (count == V::kWidth) {
          V::store(out + r * args.outputs, value);
        } else {
          V::store_first(out + r * args.outputs, value, count);
        }
      }
    }
  }
}

// One register tile: kRows rows times kVectors vectors of a panel from `column` on. Where it is read as one stream,
// `ahead` is fetched meanwhile, kLines cache lines at each step, ahead_stride bytes apart.
template <Isa I, int kRows, int kVectors, int kLines, class T>
QUIRE_INLINE void int8_tile(const LinearInt8& args, const QuantizedRows& rows, int64_t panel, int64_t column,
                            int64_t first, const std::byte* ahead, int64_t ahead_stride) {
  using Ops = PanelOps<I, int8_t>;
  const int64_t steps = rows.width / 4;
  const auto* a = reinterpret_cast<const uint32_t*>(rows.q) + first * steps;
  const auto* b = reinterpret_cast<const uint32_t*>(args.data) + panel * steps * kPanelColumns + column;
  typename Ops::Acc acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < kVectors; ++n) acc[r][n] = Ops::set(-Ops::kOffset * rows.sums[first + r]);
  }
  if constexpr (Ops::kStreams == 1) {
    multiply_tile<Ops>(a, steps, b, steps, acc, [&](int64_t s) {
      for (int line = 0; line < kLines; ++line) __builtin_prefetch(ahead + s * ahead_stride + line * 64, 0, 2);
    });
  } else if constexpr (kRows <= Ops::FewRows::kRows) {
    multiply_few_rows<typename Ops::FewRows, Ops::kStreams>(a, steps, b, steps, acc);
  } else {
    multiply_tile<Ops, Ops::kStreams>(a, steps, b, steps, acc);
  }
  store_int8_tile<I, T>(args, rows, panel * kPanelColumns + column, first, acc);
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

// One panel as words: a few strips of it are widened to 16 bits, as many as leave room in the second-level cache, and
// multiplied with all rows, of which a tile stays in the first-level cache.
template <Isa I, class T>
QUIRE_INLINE void int8_panel_in_words(const LinearInt8& args, const QuantizedRows& rows, int64_t panel) {
  using Ops = PanelOps<I, int16_t>;
  constexpr int64_t kColumns = Ops::kVectors * Simd<I>::kWidth, kCacheBytes = 256 << 10;
  const int64_t steps = rows.width / 4, strip_units = 2 * steps * kColumns;
  const int64_t run = std::clamp<int64_t>(kCacheBytes / (strip_units * 4), 1, kPanelColumns / kColumns) * kColumns;
  auto* strips = reinterpret_cast<uint32_t*>(thread_scratch(run / kColumns * strip_units * 4, ScratchUse::kWeights));
  const auto* units = reinterpret_cast<const uint32_t*>(args.data) + panel * steps * kPanelColumns;
  const auto* words = reinterpret_cast<const uint32_t*>(rows.words);
  for (int64_t begin = 0; begin < kPanelColumns; begin += run) {
    const int64_t end = std::min(begin + run, kPanelColumns);
    for (int64_t column = begin; column < end; column += kColumns) {
      uint32_t* to = strips + (column - begin) * 2 * steps;
      for (int64_t s = 0; s < steps; ++s) Ops::widen(units + s * kPanelColumns + column, to + s * 2 * kColumns);
    }
    for_row_tiles<Ops::kRows>(args.rows, [&](auto height, int64_t first) {
      for (int64_t column = begin; column < end; column += kColumns) {
        typename Ops::Acc acc[height()][Ops::kVectors] = {};
        multiply_strip<Ops>(words + first * 2 * steps, 2 * steps, strips + (column - begin) * 2 * steps, 2 * steps, acc,
                            [](int64_t) {});
        store_int8_tile<I, T>(args, rows, panel * kPanelColumns + column, first, acc);
      }
    });
  }
}

template <Isa I>
void linear_int8_panels(const LinearInt8& args, const QuantizedRows& rows, int64_t begin, int64_t end) {
  using Ops = PanelOps<I, int8_t>;
  with_dtype(args.dtype, [&]<class T>(T) {
    for (int64_t panel = begin; panel < end; ++panel) {
      if constexpr (kRowsForWords<I> < kNever) {
        if (rows.words) {
          int8_panel_in_words<I, T>(args, rows, panel);
          continue;
        }
      }
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
