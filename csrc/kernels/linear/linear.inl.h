// The blocks of linear.h over one instruction set.

#pragma once

#include <algorithm>

#include "kernels/linear/linear.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"

namespace quire {

// How runs of T multiply: kStep elements at a time, in kParts vectors, into a vector of partial sums for each pair of
// rows. kOutputs weight rows by kRows rows of x fill the registers. Rows of x are runs of X, whole steps of them, with
// zeros beyond the last input.
template <Isa I, class T>
struct DotOps {
  using V = Simd<I>;
  using X = float;
  using Acc = typename V::F;
  static constexpr int kStep = V::kWidth, kParts = 1, kOutputs = 4, kRows = 2;
  static constexpr bool kApart = false;
  static QUIRE_INLINE void pack_step(const T* x, X* to) { V::store(to, V::load(x)); }
  static QUIRE_INLINE Acc load_row(const X* p) { return V::load(p); }
  static QUIRE_INLINE Acc load(const T* p, int) { return V::load(p); }
  static QUIRE_INLINE Acc load_first(const T* p, int n, int) { return V::load_first(p, n); }
  static QUIRE_INLINE Acc zero() { return V::zero(); }
  static QUIRE_INLINE Acc dot(Acc acc, Acc a, Acc b) { return V::fma(a, b, acc); }
  template <int kCount>
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[kCount]) {
    for (int i = 0; i < kCount; ++i) sums[i] += V::sum(acc[i]);
  }
};

template <class Ops>
QUIRE_INLINE int64_t padded_inputs(int64_t inputs) {
  return (inputs + Ops::kStep - 1) / Ops::kStep * Ops::kStep;
}

template <Isa I>
int64_t linear_row_bytes(DType dtype, int64_t inputs) {
  int64_t bytes = 0;
  with_dtype(dtype, [&]<class T>(T) {
    using Ops = DotOps<I, T>;
    bytes = padded_inputs<Ops>(inputs) * sizeof(typename Ops::X);
  });
  return bytes;
}

template <Isa I>
void pack_linear_rows(const Linear& args, std::byte* packed, int64_t begin, int64_t end) {
  with_dtype(args.dtype, [&]<class T>(T) {
    using Ops = DotOps<I, T>;
    const int64_t stride = padded_inputs<Ops>(args.inputs);
    for (int64_t r = begin; r < end; ++r) {
      const T* x = static_cast<const T*>(args.x) + r * args.inputs;
      auto* to = reinterpret_cast<typename Ops::X*>(packed) + r * stride;
      const int64_t whole = args.inputs / Ops::kStep * Ops::kStep;
      for (int64_t i = 0; i < whole; i += Ops::kStep) Ops::pack_step(x + i, to + i);
      if (whole < args.inputs) {
        T last[Ops::kStep] = {};
        std::copy(x + whole, x + args.inputs, last);
        Ops::pack_step(last, to + whole);
      }
    }
  });
}

// One step: acc[r][o] += x[r] · weight[o].
template <class Ops, int kRows, int kOutputs, class Load>
QUIRE_INLINE void multiply_step(const typename Ops::X* x, int64_t x_stride, typename Ops::Acc (&acc)[kRows][kOutputs],
                                Load&& load) {
#pragma GCC unroll 2
  for (int part = 0; part < Ops::kParts; ++part) {
    decltype(Ops::load_row(x)) row[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) row[r] = Ops::load_row(x + r * x_stride + part * (Ops::kStep / Ops::kParts));
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) {
      const auto columns = load(o, part);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[r][o] = Ops::dot(acc[r][o], row[r], columns);
    }
  }
}

// sums[r][o] += x[r][0, size) · weight[o][0, size), weight rows lying `stride` apart. With kFetch, what lies `next`
// after them is fetched meanwhile. A function of its own with every loop over `acc` unrolled, so that GCC keeps it in
// registers.
template <class Ops, int kRows, int kOutputs, bool kFetch, class T>
__attribute__((noinline)) void multiply_runs(const typename Ops::X* x, int64_t x_stride, const T* weight,
                                             int64_t stride, int64_t next, int64_t size, float* sums) {
  typename Ops::Acc acc[kRows][kOutputs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) acc[r][o] = Ops::zero();
  }
  int64_t i = 0;
  for (; i + Ops::kStep <= size; i += Ops::kStep) {
    multiply_step<Ops>(x + i, x_stride, acc, [&](int o, int part) {
      if (kFetch && part == 0) __builtin_prefetch(weight + next + o * stride + i, 0, 3);
      return Ops::load(weight + o * stride + i, part);
    });
  }
  if (i < size) {
    multiply_step<Ops>(x + i, x_stride, acc,
                       [&](int o, int part) { return Ops::load_first(weight + o * stride + i, size - i, part); });
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) Ops::add_sums(sums + r * kChunkOutputs, acc[r]);
}

// Where weight rows of one tile lie: in `tiles` runs of rows, a row of each, or one after another.
template <class Ops>
struct TileRows {
  int64_t tiles;
  bool are_apart;

  TileRows(int64_t num_rows, int64_t num_outputs)
      : tiles(num_outputs / Ops::kOutputs), are_apart(Ops::kApart && num_rows <= Ops::kRows) {}
  int64_t first(int64_t tile) const { return are_apart ? tile : tile * Ops::kOutputs; }
  int64_t step() const { return are_apart ? tiles : 1; }
};

// sums[r] of all rows over columns [i, i + size), tile by tile in the order of the tiles: a tile of weight rows stays
// in the first-level cache, the rows of x in the second.
template <class Ops, class T>
QUIRE_INLINE void multiply_stretch(const typename Ops::X* x, int64_t x_stride, int64_t num_rows, const T* weight,
                                   int64_t stride, int64_t num_outputs, int64_t size, float* sums) {
  const TileRows<Ops> rows(num_rows, num_outputs);
  const auto tile = [&](auto width, int64_t first, int64_t step, int64_t o) {
    const int64_t next = step == 1 ? width() * stride : stride;
    for_row_tiles<Ops::kRows>(num_rows, [&](auto height, int64_t r) {
      const auto multiply =
          r == 0 ? multiply_runs<Ops, height(), width(), true, T> : multiply_runs<Ops, height(), width(), false, T>;
      multiply(x + r * x_stride, x_stride, weight + first * stride, step * stride, next, size,
               sums + r * kChunkOutputs + o);
    });
  };
  for (int64_t t = 0; t < rows.tiles; ++t) {
    tile(std::integral_constant<int, Ops::kOutputs>{}, rows.first(t), rows.step(), t * Ops::kOutputs);
  }
  for (int64_t o = rows.tiles * Ops::kOutputs; o < num_outputs; ++o) tile(std::integral_constant<int, 1>{}, o, 1, o);
}

// The sums of one row in the order of the outputs.
template <class Ops>
QUIRE_INLINE void in_order_of_outputs(const TileRows<Ops>& rows, float* sums) {
  if (!rows.are_apart) return;
  float ordered[kChunkOutputs];
  for (int64_t t = 0; t < rows.tiles; ++t) {
    for (int64_t o = 0; o < Ops::kOutputs; ++o) ordered[t + o * rows.tiles] = sums[t * Ops::kOutputs + o];
  }
  std::copy_n(ordered, rows.tiles * Ops::kOutputs, sums);
}

template <Isa I>
void linear_block(const Linear& args, const std::byte* packed, int64_t first_row, int64_t num_rows,
                  int64_t first_output, int64_t num_outputs) {
  with_dtype(args.dtype, [&]<class T>(T) {
    using V = Simd<I>;
    using Ops = DotOps<I, T>;
    // One tile of rows fits into the first-level cache beside any weight row; more are cut.
    const int64_t stretch = num_rows <= Ops::kRows ? std::max<int64_t>(args.inputs, 1) : 1024;
    const int64_t x_stride = padded_inputs<Ops>(args.inputs);
    const auto* x = reinterpret_cast<const typename Ops::X*>(packed) + first_row * x_stride;
    const T* weight = static_cast<const T*>(args.weight) + first_output * args.inputs;
    alignas(64) float sums[kBlockRows * kChunkOutputs];
    std::fill_n(sums, num_rows * kChunkOutputs, 0.0f);
    for (int64_t i = 0; i < args.inputs; i += stretch) {
      multiply_stretch<Ops>(x + i, x_stride, num_rows, weight + i, args.inputs, num_outputs,
                            std::min(stretch, args.inputs - i), sums);
    }
    for (int64_t r = 0; r < num_rows; ++r) {
      in_order_of_outputs(TileRows<Ops>(num_rows, num_outputs), sums + r * kChunkOutputs);
      T* out = static_cast<T*>(args.out) + (first_row + r) * args.outputs + first_output;
      for_vectors<I>(num_outputs, [&](int64_t o, auto n) {
        auto sum = V::load(sums + r * kChunkOutputs + o);
        if (args.bias) sum = V::add(sum, load_n<I>(static_cast<const T*>(args.bias) + first_output + o, n));
        store_n<I>(out + o, sum, n);
      });
    }
  });
}

}  // namespace quire
