// The inner product of every matrix kernel: a few rows of A times a panel of B, in registers.
//
// A panel is 64 columns of B, laid out step by step: at step s, one unit of each column, side by side. A unit is 4
// bytes: one float, two bfloat16 or four int8 along the summed dimension, whatever one lane of the machine's dot
// instruction takes. A is row-major, so a row of A is a run of units too and needs no packing.
//
//     B panel:  step 0 | unit of col 0 | unit of col 1 | … | unit of col 63 |      256 bytes a step, read in order
//               step 1 | …
//
// PanelOps<I, T> says how units of T multiply on the instruction set I: Unit, Acc, kDepth (elements in a unit),
// load / broadcast / dot. T = float serves every format that is widened while it is packed.

#pragma once

#include <limits>

#include "kernels/simd/simd.h"

namespace quire {

constexpr int64_t kPanelColumns = 64;

// The largest register tile: rows of A by vectors of B.
template <Isa I>
struct RegisterTile;
template <>
struct RegisterTile<Isa::kPortable> {
  static constexpr int kRows = 2, kVectors = 2;
};
template <>
struct RegisterTile<Isa::kAvx2> {
  static constexpr int kRows = 6, kVectors = 2;
};
template <>
struct RegisterTile<Isa::kAvx512> {
  static constexpr int kRows = 6, kVectors = 4;
};

template <Isa I, class T>
struct PanelOps;

template <Isa I>
struct PanelOps<I, float> {
  using V = Simd<I>;
  using Unit = float;
  using Element = float;
  using Acc = typename V::F;
  static constexpr int kDepth = 1;
  static QUIRE_INLINE Acc load(const Unit* p) { return V::load(p); }
  static QUIRE_INLINE Acc broadcast(const Unit* p) { return V::set(*p); }
  static QUIRE_INLINE Acc dot(Acc acc, Acc a, Acc b) { return V::fma(a, b, acc); }
};

// Four weights of one byte times four int8 of a row, summed in int32. load() takes weights that are 128 too large and
// leaves kOffset of it in, which must be taken off with the sum of the row; nibbles are 0..15 as they stand.
template <Isa I>
struct PanelOps<I, int8_t> {
  using V = Simd<I>;
  using Unit = uint32_t;
  static constexpr int kDepth = 4, kRows = RegisterTile<I>::kRows, kOffset = 128, kStreams = 1;
  // Vectors of a tile of so many rows.
  static constexpr int num_vectors(int) { return RegisterTile<I>::kVectors; }
  struct Bytes {
    uint32_t v[V::kWidth];
  };
  struct Acc {
    int32_t v[V::kWidth];
  };
  static QUIRE_INLINE Acc set(int32_t x) {
    Acc r;
    for (int32_t& lane : r.v) lane = x;
    return r;
  }
  static QUIRE_INLINE typename V::F to_float(Acc a) {
    return V::map([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static QUIRE_INLINE Bytes load(const Unit* p) {
    Bytes r;
    for (int i = 0; i < V::kWidth; ++i) r.v[i] = p[i];
    return r;
  }
  static QUIRE_INLINE uint32_t broadcast(const Unit* p) { return *p; }
  static QUIRE_INLINE Acc dot(Acc acc, uint32_t row, Bytes columns) {
    for (int i = 0; i < V::kWidth; ++i) {
      for (int shift = 0; shift < 32; shift += 8) {
        acc.v[i] += static_cast<int8_t>(row >> shift) * static_cast<int32_t>(columns.v[i] >> shift & 0xff);
      }
    }
    return acc;
  }
  using Nibbles = Acc;
  static constexpr int kNibbleRows = kRows / 2, kNibbleSteps = std::numeric_limits<int>::max();
  static QUIRE_INLINE Nibbles dot_nibbles(Nibbles acc, uint32_t row, Bytes columns) { return dot(acc, row, columns); }
  static QUIRE_INLINE Bytes low_nibbles(const Unit* p) {
    Bytes r = load(p);
    for (uint32_t& x : r.v) x &= 0x0f0f0f0f;
    return r;
  }
  static QUIRE_INLINE Bytes high_nibbles(const Unit* p) {
    Bytes r = load(p);
    for (uint32_t& x : r.v) x = x >> 4 & 0x0f0f0f0f;
    return r;
  }
};

// body(s) for every s in [0, steps), from kStreams places in turns. A core reads memory faster along several streams,
// since the hardware foresees each by itself and no further than its page goes; asking for lines ahead of one stream
// fills the few places for misses of the first-level cache instead.
template <int kStreams, class Body>
QUIRE_INLINE void for_steps_in_streams(int64_t steps, Body&& body) {
  const int64_t length = steps / kStreams;
  for (int64_t s = 0; s < length; ++s) {
#pragma GCC unroll 8
    for (int i = 0; i < kStreams; ++i) body(s + i * length);
  }
  for (int64_t s = kStreams * length; s < steps; ++s) body(s);
}

// acc[r][n] += Σ over steps of a[r] · (vector n of b). each_step(s) runs beside every step.
template <class Ops, int kStreams = 1, int kRows, int kVectors, class Acc, class EachStep>
QUIRE_INLINE void multiply_tile(const typename Ops::Unit* a, int64_t a_stride, const typename Ops::Unit* b,
                                int64_t steps, Acc (&acc)[kRows][kVectors], EachStep&& each_step) {
  for_steps_in_streams<kStreams>(steps, [&](int64_t s) __attribute__((always_inline)) {
    each_step(s);
    decltype(Ops::load(b)) column[kVectors];
#pragma GCC unroll 8
    for (int n = 0; n < kVectors; ++n) column[n] = Ops::load(b + s * kPanelColumns + n * Ops::V::kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto row = Ops::broadcast(a + r * a_stride + s);
#pragma GCC unroll 8
      for (int n = 0; n < kVectors; ++n) acc[r][n] = Ops::dot(acc[r][n], row, column[n]);
    }
  });
}

template <class Ops, int kStreams = 1, int kRows, int kVectors, class Acc>
QUIRE_INLINE void multiply_tile(const typename Ops::Unit* a, int64_t a_stride, const typename Ops::Unit* b,
                                int64_t steps, Acc (&acc)[kRows][kVectors]) {
  multiply_tile<Ops, kStreams>(a, a_stride, b, steps, acc, [](int64_t) {});
}

// The same where rows are fewer than vectors: rows stay in registers, and each vector is read when its turn comes.
template <class Ops, int kStreams, int kRows, int kVectors, class Acc>
QUIRE_INLINE void multiply_few_rows(const typename Ops::Unit* a, int64_t a_stride, const typename Ops::Unit* b,
                                    int64_t steps, Acc (&acc)[kRows][kVectors]) {
  for_steps_in_streams<kStreams>(steps, [&](int64_t s) __attribute__((always_inline)) {
    decltype(Ops::broadcast(a)) row[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) row[r] = Ops::broadcast(a + r * a_stride + s);
#pragma GCC unroll 8
    for (int n = 0; n < kVectors; ++n) {
      const auto column = Ops::load(b + s * kPanelColumns + n * Ops::V::kWidth);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r][n] = Ops::dot(acc[r][n], row[r], column);
    }
  });
}

// As multiply_tile, over a strip: columns of a tile that lie by themselves, step after step.
template <class Ops, int kRows, int kVectors, class B, class Acc, class EachStep>
QUIRE_INLINE void multiply_strip(const typename Ops::Unit* a, int64_t a_stride, const B* b, int64_t steps,
                                 Acc (&acc)[kRows][kVectors], EachStep&& each_step) {
  constexpr int kWidth = Ops::V::kWidth;
  for (int64_t s = 0; s < steps; ++s, b += kVectors * kWidth) {
    each_step(s);
    decltype(Ops::load(b)) column[kVectors];
#pragma GCC unroll 8
    for (int n = 0; n < kVectors; ++n) column[n] = Ops::load(b + n * kWidth);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto row = Ops::broadcast(a + r * a_stride + s);
#pragma GCC unroll 8
      for (int n = 0; n < kVectors; ++n) acc[r][n] = Ops::dot(acc[r][n], row, column[n]);
    }
  }
}

// body(std::integral_constant<int, n>, first) over `rows` in register tiles of as equal heights as can be.
template <int kMax, class Body>
QUIRE_INLINE void for_row_tiles(int64_t rows, Body&& body) {
  const int64_t tiles = (rows + kMax - 1) / kMax;
  for (int64_t i = 0, first = 0; i < tiles; ++i) {
    const int64_t height = (rows - first) / (tiles - i);
    [&]<int... kN>(std::integer_sequence<int, kN...>) {
      ((height == kN + 1 ? body(std::integral_constant<int, kN + 1>{}, first) : void()), ...);
    }(std::make_integer_sequence<int, kMax>{});
    first += height;
  }
}

}  // namespace quire
