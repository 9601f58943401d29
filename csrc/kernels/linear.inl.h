// The outputs of linear.h over one instruction set.

#pragma once

#include <algorithm>

#include "kernels/linear.h"
#include "kernels/panel.h"
#include "kernels/simd.h"

namespace quire {

// How runs of T multiply: kStep elements of each at a time, into a vector of partial sums.
// kOutputs weight rows by kRows rows of x fill the registers.
template <Isa I, class T>
struct DotOps {
  using V = Simd<I>;
  using Acc = typename V::F;
  static constexpr int kStep = V::kWidth, kOutputs = 4, kRows = 2;
  static QUIRE_INLINE Acc load(const T* p) { return V::load(p); }
  static QUIRE_INLINE Acc load_first(const T* p, int n) { return V::load_first(p, n); }
  static QUIRE_INLINE Acc dot(Acc acc, Acc a, Acc b) { return V::fma(a, b, acc); }
  static QUIRE_INLINE void add_sums(float* sums, const Acc (&acc)[kOutputs]) {
    for (int i = 0; i < kOutputs; ++i) sums[i] += V::sum(acc[i]);
  }
};

// sums[r][o] += x[r][0, size) · weight[o][0, size); the weight rows that follow are fetched meanwhile.
template <class Ops, int kRows, class T>
QUIRE_INLINE void multiply_runs(const T* x, const T* weight, int64_t stride, int64_t size, float* sums,
                                bool fetch_next) {
  constexpr int kOutputs = Ops::kOutputs;
  typename Ops::Acc acc[kRows][kOutputs] = {};
  int64_t i = 0;
  for (; i + Ops::kStep <= size; i += Ops::kStep) {
    decltype(Ops::load(x)) row[kRows];
    for (int r = 0; r < kRows; ++r) row[r] = Ops::load(x + r * stride + i);
#pragma GCC unroll 8
    for (int o = 0; o < kOutputs; ++o) {
      if (fetch_next) __builtin_prefetch(weight + (kOutputs + o) * stride + i, 0, 3);
      const auto column = Ops::load(weight + o * stride + i);
      for (int r = 0; r < kRows; ++r) acc[r][o] = Ops::dot(acc[r][o], row[r], column);
    }
  }
  if (i < size) {
    for (int r = 0; r < kRows; ++r) {
      const auto row = Ops::load_first(x + r * stride + i, size - i);
      for (int o = 0; o < kOutputs; ++o) {
        acc[r][o] = Ops::dot(acc[r][o], row, Ops::load_first(weight + o * stride + i, size - i));
      }
    }
  }
  for (int r = 0; r < kRows; ++r) Ops::add_sums(sums + r * kMaxTileOutputs, acc[r]);
}

// One tile of Ops::kOutputs weight rows with every row of x, a stretch of columns at a time, so that the stretch of
// the weight rows stays in the first-level cache.
template <class Ops, class T>
QUIRE_INLINE void multiply_tile_rows(const Linear& args, const T* weight, float* sums) {
  constexpr int64_t kStretch = 2048 / sizeof(T);
  const T* x = static_cast<const T*>(args.x);
  std::fill_n(sums, args.rows * kMaxTileOutputs, 0.0f);
  for (int64_t i = 0; i < args.inputs; i += kStretch) {
    const int64_t size = std::min(kStretch, args.inputs - i);
    for_row_tiles<Ops::kRows>(args.rows, [&](auto height, int64_t r) {
      multiply_runs<Ops, height()>(x + r * args.inputs + i, weight + i, args.inputs, size, sums + r * kMaxTileOutputs,
                                   r == 0);
    });
  }
}

// The last few outputs, where no whole tile is left.
template <Isa I, class T>
QUIRE_INLINE float dot_product(const T* a, const T* b, int64_t size) {
  using V = Simd<I>;
  auto acc = V::zero();
  for_vectors<I>(size, [&](int64_t i, auto n) { acc = V::fma(load_n<I>(a + i, n), load_n<I>(b + i, n), acc); });
  return V::sum(acc);
}

template <Isa I>
void linear_outputs(const Linear& args, int64_t begin, int64_t end, float* sums) {
  with_dtype(args.dtype, [&]<class T>(T) {
    using V = Simd<I>;
    using Ops = DotOps<I, T>;
    const T* bias = static_cast<const T*>(args.bias);
    T* out = static_cast<T*>(args.out);
    int64_t o = begin;
    for (; o + Ops::kOutputs <= end; o += Ops::kOutputs) {
      multiply_tile_rows<Ops>(args, static_cast<const T*>(args.weight) + o * args.inputs, sums);
      const auto offset = bias ? V::load_first(bias + o, Ops::kOutputs) : V::zero();
      for (int64_t r = 0; r < args.rows; ++r) {
        const auto sum = V::load_first(sums + r * kMaxTileOutputs, Ops::kOutputs);
        V::store_first(out + r * args.outputs + o, V::add(sum, offset), Ops::kOutputs);
      }
    }
    for (; o < end; ++o) {
      const T* weight = static_cast<const T*>(args.weight) + o * args.inputs;
      for (int64_t r = 0; r < args.rows; ++r) {
        const float sum = dot_product<I>(static_cast<const T*>(args.x) + r * args.inputs, weight, args.inputs);
        out[r * args.outputs + o] = from_float<T>(bias ? sum + to_float(bias[o]) : sum);
      }
    }
  });
}

}  // namespace quire
