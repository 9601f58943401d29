// The panels of linear_int4.h over one instruction set.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/linear/linear_int4.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"

namespace quire {

// One group of one output: the element of largest magnitude becomes nibble 0, that is -8, as Q4_0 has it.
template <class T>
QUIRE_INLINE void pack_int4_group(const T* weight, int64_t size, uint32_t* units, Half* scale_to) {
  float extreme = 0.0f;
  for (int64_t i = 0; i < size; ++i) {
    const float w = to_float(weight[i]);
    if (std::fabs(w) > std::fabs(extreme)) extreme = w;
  }
  *scale_to = from_float<Half>(extreme / -8.0f);
  const float scale = to_float(*scale_to), inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  for (int64_t u = 0; u < size / 8; ++u) {
    uint32_t unit = 0;
    for (int64_t i = 0; i < 8; ++i) {
      const float level = std::nearbyint(to_float(weight[8 * u + i]) * inverse) + 8.0f;
      const uint32_t nibble = level < 0.0f ? 0 : level > 15.0f ? 15 : static_cast<uint32_t>(level);
      unit |= nibble << (i % 4 * 8 + i / 4 * 4);
    }
    units[u * kPanelColumns] = unit;
  }
}

template <Isa I>
void pack_int4_panel(const PackInt4& args, int64_t panel) {
  const int64_t groups = args.inputs / args.group, group_bytes = int4_group_bytes(args.group);
  std::byte* to = args.data + panel * groups * group_bytes;
  std::memset(to, 0, groups * group_bytes);
  with_dtype(args.dtype, [&]<class T>(T) {
    const int64_t count = std::min(kPanelColumns, args.outputs - panel * kPanelColumns);
    for (int64_t j = 0; j < count; ++j) {
      const T* row = static_cast<const T*>(args.weight) + (panel * kPanelColumns + j) * args.inputs;
      for (int64_t g = 0; g < groups; ++g) {
        std::byte* group = to + g * group_bytes;
        pack_int4_group(row + g * args.group, args.group, reinterpret_cast<uint32_t*>(group) + j,
                        reinterpret_cast<Half*>(group + args.group / 8 * kPanelColumns * 4) + j);
      }
    }
  });
}

// acc[r][n] += a[r] · (vector n of b) over `units` units, two steps each.
template <class Ops, int kRows, int kVectors, class Acc>
QUIRE_INLINE void multiply_nibbles(const uint32_t* a, int64_t a_stride, const uint32_t* b, int64_t units,
                                   Acc (&acc)[kRows][kVectors]) {
  const auto multiply = [&](auto columns_of, int64_t step) {
    decltype(columns_of(b)) columns[kVectors];
#pragma GCC unroll 8
    for (int n = 0; n < kVectors; ++n) columns[n] = columns_of(b + n * Ops::V::kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto row = Ops::broadcast(a + r * a_stride + step);
#pragma GCC unroll 8
      for (int n = 0; n < kVectors; ++n) acc[r][n] = Ops::dot_nibbles(acc[r][n], row, columns[n]);
    }
  };
  for (int64_t u = 0; u < units; ++u, b += kPanelColumns) {
    multiply([](const uint32_t* p) { return Ops::low_nibbles(p); }, 2 * u);
    multiply([](const uint32_t* p) { return Ops::high_nibbles(p); }, 2 * u + 1);
  }
}

// acc[r][n] += a[r] · (vector n of b) over the units of one group, in sums that cannot overflow.
template <class Ops, int kRows, int kVectors, class Acc>
QUIRE_INLINE void multiply_group(const uint32_t* a, int64_t a_stride, const uint32_t* b, int64_t units,
                                 Acc (&acc)[kRows][kVectors]) {
  if constexpr (Ops::kNibbleSteps == std::numeric_limits<int>::max()) {
    multiply_nibbles<Ops>(a, a_stride, b, units, acc);
  } else {
    constexpr int64_t kUnits = Ops::kNibbleSteps / 2;
    for (int64_t u = 0; u < units; u += kUnits) {
      typename Ops::Nibbles sums[kRows][kVectors] = {};
      multiply_nibbles<Ops>(a + 2 * u, a_stride, b + u * kPanelColumns, std::min(kUnits, units - u), sums);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int n = 0; n < kVectors; ++n) acc[r][n] = Ops::add_nibbles(acc[r][n], sums[r][n]);
      }
    }
  }
}

template <Isa I, int kRows, int kVectors, class T>
QUIRE_INLINE void int4_tile(const LinearInt4& args, const QuantizedRows& rows, int64_t panel, int64_t first,
                            int64_t ahead_bytes) {
  using V = Simd<I>;
  using Ops = PanelOps<I, int8_t>;
  const int64_t groups = args.inputs / args.group, group_bytes = int4_group_bytes(args.group);
  const std::byte* stream = args.data + panel * groups * group_bytes;
  for (int64_t column = 0; column < kPanelColumns; column += kVectors * V::kWidth) {
    typename V::F sums[kRows][kVectors];
    for (auto& row : sums) std::fill_n(row, kVectors, V::zero());
    for (int64_t g = 0; g < groups; ++g) {
      const std::byte* group = stream + g * group_bytes;
      if (ahead_bytes > 0 && column == 0) {
        for (int64_t i = 0; i < group_bytes; i += 64) __builtin_prefetch(group + ahead_bytes + i, 0, 2);
      }
      typename Ops::Acc acc[kRows][kVectors];
      for (int r = 0; r < kRows; ++r) {
        std::fill_n(acc[r], kVectors, Ops::set(-8 * rows.sums[(first + r) * groups + g]));
      }
      const auto* a = reinterpret_cast<const uint32_t*>(rows.q + first * rows.width + g * args.group);
      multiply_group<Ops>(a, rows.width / 4, reinterpret_cast<const uint32_t*>(group) + column, args.group / 8, acc);
      const Half* scales = reinterpret_cast<const Half*>(group + args.group / 8 * kPanelColumns * 4) + column;
      for (int n = 0; n < kVectors; ++n) {
        const auto scale = V::load(scales + n * V::kWidth);
        for (int r = 0; r < kRows; ++r) sums[r][n] = V::fma(Ops::to_float(acc[r][n]), scale, sums[r][n]);
      }
    }
    for (int n = 0; n < kVectors; ++n) {
      const int64_t o = panel * kPanelColumns + column + n * V::kWidth;
      const int64_t count = std::min<int64_t>(V::kWidth, args.outputs - o);
      if (count <= 0) break;
      const auto bias = args.bias ? V::load_first(static_cast<const T*>(args.bias) + o, count) : V::zero();
      for (int r = 0; r < kRows; ++r) {
        V::store_first(static_cast<T*>(args.out) + (first + r) * args.outputs + o,
                       V::fma(sums[r][n], V::set(rows.scales[first + r]), bias), count);
      }
    }
  }
}

template <Isa I>
void linear_int4_panels(const LinearInt4& args, const QuantizedRows& rows, int64_t begin, int64_t end) {
  using Ops = PanelOps<I, int8_t>;
  constexpr int64_t kAheadBytes = 8192;
  with_dtype(args.dtype, [&]<class T>(T) {
    for (int64_t panel = begin; panel < end; ++panel) {
      if (args.rows == 1) {
        int4_tile<I, 1, Ops::num_vectors(1), T>(args, rows, panel, 0, kAheadBytes);
      } else {
        for_row_tiles<Ops::kNibbleRows>(args.rows, [&](auto height, int64_t first) {
          int4_tile<I, height(), Ops::num_vectors(Ops::kRows), T>(args, rows, panel, first,
                                                                  first == 0 ? kAheadBytes : 0);
        });
      }
    }
  });
}

}  // namespace quire
