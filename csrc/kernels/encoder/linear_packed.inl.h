// The bands of linear_packed.h over one instruction set.

#pragma once

#include <algorithm>

#include "kernels/encoder/linear_packed.h"
#include "kernels/encoder/nonlinearity.inl.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"

namespace quire {

// How activations of T and packed weights of W multiply on I: widened to float, or as they are.
template <Isa I, class T, class W>
struct PackedOps : PanelOps<I, float> {
  using Stored = W;  // a unit in memory
  using StoredElement = W;
  static QUIRE_INLINE auto load(const W* p) { return Simd<I>::load(p); }
};
template <Isa I>
  requires(I == Isa::kAvx512)
struct PackedOps<I, BFloat16, BFloat16> : PanelOps<I, BFloat16> {
  using Stored = typename PanelOps<I, BFloat16>::Unit;
  using StoredElement = BFloat16;
};

// body(T{}, W{}) with the C++ types of activations and packed weights.
template <class Body>
QUIRE_INLINE void with_types(const PackedShape& shape, Body&& body) {
  with_dtype(shape.dtype, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, float>) {
      with_dtype(shape.stored, [&]<class W>(W) { body(T{}, W{}); });
    } else {
      body(T{}, T{});
    }
  });
}

template <Isa I>
constexpr int64_t kStripColumns = RegisterTile<I>::kVectors * Simd<I>::kWidth;

template <class Ops>
constexpr int64_t num_steps(int64_t inputs) {
  return (inputs + Ops::kDepth - 1) / Ops::kDepth;
}

template <Isa I>
int64_t packed_band_bytes(const PackedShape& shape) {
  int64_t bytes = 0;
  with_types(shape, [&]<class T, class W>(T, W) {
    using Ops = PackedOps<I, T, W>;
    bytes = num_steps<Ops>(shape.inputs) * kBandOutputs * sizeof(typename Ops::Stored);
  });
  return bytes;
}

template <Isa I>
void pack_linear_band(const PackedShape& shape, const void* weight, std::byte* data, int64_t band) {
  with_types(shape, [&]<class T, class W>(T, W) {
    using Ops = PackedOps<I, T, W>;
    using Element = typename Ops::StoredElement;
    const int64_t steps = num_steps<Ops>(shape.inputs);
    auto* to = reinterpret_cast<Element*>(data + band * packed_band_bytes<I>(shape));
    for (int64_t first = 0; first < kBandOutputs; first += kStripColumns<I>) {
      for (int64_t i = 0; i < steps * Ops::kDepth; i += Ops::kDepth) {
        for (int64_t column = first; column < first + kStripColumns<I>; ++column) {
          const int64_t o = band * kBandOutputs + column;
          for (int64_t d = i; d < i + Ops::kDepth; ++d, ++to) {
            const bool exists = o < shape.outputs && d < shape.inputs;
            const float value = exists ? to_float(static_cast<const T*>(weight)[o * shape.inputs + d]) : 0.0f;
            *to = from_float<Element>(value);
          }
        }
      }
    }
  });
}

// Whether rows of x are units already, side by side.
template <class Ops, class T>
constexpr bool is_in_place(int64_t inputs) {
  return std::is_same_v<typename Ops::Element, T> && inputs % Ops::kDepth == 0;
}

template <Isa I>
int64_t packed_rows_bytes(const PackedShape& shape, int64_t rows) {
  int64_t bytes = 0;
  with_types(shape, [&]<class T, class W>(T, W) {
    using Ops = PackedOps<I, T, W>;
    if (!is_in_place<Ops, T>(shape.inputs)) {
      bytes = rows * num_steps<Ops>(shape.inputs) * sizeof(typename Ops::Unit);
    }
  });
  return bytes;
}

// The rows as units: where they lie, or widened and filled up in `scratch`.
template <Isa I, class T, class Ops>
QUIRE_INLINE const typename Ops::Unit* rows_as_units(const LinearPacked& args, int64_t begin, int64_t end,
                                                     std::byte* scratch) {
  using Element = typename Ops::Element;
  const int64_t inputs = args.shape.inputs, width = num_steps<Ops>(inputs) * Ops::kDepth;
  const T* x = static_cast<const T*>(args.x) + begin * inputs;
  if (is_in_place<Ops, T>(inputs)) return reinterpret_cast<const typename Ops::Unit*>(x);
  auto* to = reinterpret_cast<Element*>(scratch);
  for (int64_t r = begin; r < end; ++r, x += inputs, to += width) {
    for_vectors<I>(inputs, [&](int64_t i, auto n) { store_n<I>(to + i, load_n<I>(x + i, n), n); });
    std::fill(to + inputs, to + width, Element{});
  }
  return reinterpret_cast<const typename Ops::Unit*>(scratch);
}

// A tile of sums on its way out: bias, nonlinearity, rounding. A function of its own, because the constants of a
// nonlinearity, hoisted out of the loop over tiles, would take registers from the products.
template <Isa I, class T>
__attribute__((noinline)) void write_tile(const LinearPacked& args, const float* sums, int64_t row, int64_t rows,
                                          int64_t output) {
  using V = Simd<I>;
  const int64_t width = args.shape.outputs, count = std::min(kStripColumns<I>, width - output);
  const T* bias = args.bias ? static_cast<const T*>(args.bias) + output : nullptr;
  with_nonlinearity(args.nonlinearity, [&](auto kind) {
    for (int64_t r = 0; r < rows; ++r) {
      T* out = static_cast<T*>(args.out) + (row + r) * width + output;
      for_vectors<I>(count, [&](int64_t i, auto n) {
        const auto sum = V::load(sums + r * kStripColumns<I> + i);
        store_n<I>(out + i, nonlinear<I, kind()>(bias ? V::add(sum, load_n<I>(bias + i, n)) : sum), n);
      });
    }
  });
}

template <Isa I, class T, class W>
void multiply_band(const LinearPacked& args, int64_t band, int64_t begin, int64_t end, std::byte* scratch) {
  using V = Simd<I>;
  using Ops = PackedOps<I, T, W>;
  constexpr int kVectors = RegisterTile<I>::kVectors;
  using Stored = typename Ops::Stored;
  const int64_t steps = num_steps<Ops>(args.shape.inputs);
  const int64_t tiles = (end - begin + RegisterTile<I>::kRows - 1) / RegisterTile<I>::kRows;
  const int64_t ahead_bytes = (kStripColumns<I> * static_cast<int64_t>(sizeof(Stored)) + tiles - 1) / tiles;
  const auto* a = rows_as_units<I, T, Ops>(args, begin, end, scratch);
  const auto* b = reinterpret_cast<const Stored*>(args.data + band * packed_band_bytes<I>(args.shape));
  for (int64_t column = 0; column < kBandOutputs; column += kStripColumns<I>) {
    const auto* ahead = reinterpret_cast<const std::byte*>(b + (column + kStripColumns<I>)*steps);
    for_row_tiles<RegisterTile<I>::kRows>(end - begin, [&](auto height, int64_t r) {
      typename Ops::Acc acc[height()][kVectors];
      for (auto& row : acc) std::fill_n(row, kVectors, Ops::V::zero());
      // Of the strip to come each step fetches a little, so that memory works while tiles multiply.
      multiply_strip<Ops>(a + r * steps, steps, b + column * steps, steps, acc,
                          [&](int64_t s) { __builtin_prefetch(ahead + s * ahead_bytes, 0, 2); });
      ahead += steps * ahead_bytes;
      alignas(64) float sums[height()][kStripColumns<I>];
      for (int i = 0; i < height(); ++i) {
        for (int n = 0; n < kVectors; ++n) V::store(sums[i] + n * V::kWidth, acc[i][n]);
      }
      write_tile<I, T>(args, sums[0], begin + r, height(), band * kBandOutputs + column);
    });
  }
}

template <Isa I>
void linear_packed_band(const LinearPacked& args, int64_t band, int64_t begin, int64_t end, std::byte* scratch) {
  with_types(args.shape, [&]<class T, class W>(T, W) { multiply_band<I, T, W>(args, band, begin, end, scratch); });
}

}  // namespace quire
