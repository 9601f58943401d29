// One vector vocabulary for every instruction set: kernels are written once, over Simd<I>.
//
//   Simd<I>::F          kWidth floats
//   load/store          from and to float, BFloat16 and Half, from int8_t; *_first(p, n) touch only the first n <
//   kWidth elements fma(a, b, c)        a * b + c sum, max_of         across the vector exp                 relative
//   error below 2e-7; exp(-inf) = 0
//
// Simd<kAvx2> and Simd<kAvx512> exist only inside translation units compiled for them (simd_avx2.h, simd_avx512.h).
// Everything such a unit defines is a template over Isa or forced inline, so no two instruction sets share a symbol.

#pragma once

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "cpu_features.h"
#include "kernels/simd/dtype.h"

namespace quire {

template <Isa I>
struct Simd;

template <>
struct Simd<Isa::kPortable> {
  static constexpr int kWidth = 8;
  struct F {
    float v[kWidth];
  };

  template <class Op>
  static QUIRE_INLINE F map(Op op) {
    F r;
    for (int i = 0; i < kWidth; ++i) r.v[i] = op(i);
    return r;
  }

  static QUIRE_INLINE F set(float x) {
    return map([&](int) { return x; });
  }
  static QUIRE_INLINE F zero() { return set(0.0f); }

  template <class T>
  static QUIRE_INLINE F load(const T* p) {
    return map([&](int i) { return to_float(p[i]); });
  }
  template <class T>
  static QUIRE_INLINE F load_first(const T* p, int n) {
    return map([&](int i) { return i < n ? to_float(p[i]) : 0.0f; });
  }
  template <class T>
  static QUIRE_INLINE void store(T* p, F a) {
    store_first(p, a, kWidth);
  }
  template <class T>
  static QUIRE_INLINE void store_first(T* p, F a, int n) {
    for (int i = 0; i < n; ++i) p[i] = from_float<T>(a.v[i]);
  }
  // The first n elements, rounded to the nearest integer; they must fit.
  static QUIRE_INLINE void store_int8(int8_t* p, F a, int n) {
    for (int i = 0; i < n; ++i) p[i] = static_cast<int8_t>(std::nearbyint(a.v[i]));
  }
  // a as it would come back after a store to T.
  template <class T>
  static QUIRE_INLINE F round_to(F a) {
    return map([&](int i) { return to_float(from_float<T>(a.v[i])); });
  }

  static QUIRE_INLINE F add(F a, F b) {
    return map([&](int i) { return a.v[i] + b.v[i]; });
  }
  static QUIRE_INLINE F sub(F a, F b) {
    return map([&](int i) { return a.v[i] - b.v[i]; });
  }
  static QUIRE_INLINE F mul(F a, F b) {
    return map([&](int i) { return a.v[i] * b.v[i]; });
  }
  static QUIRE_INLINE F div(F a, F b) {
    return map([&](int i) { return a.v[i] / b.v[i]; });
  }
  static QUIRE_INLINE F max(F a, F b) {
    return map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static QUIRE_INLINE F fma(F a, F b, F c) {
    return map([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  static QUIRE_INLINE F exp(F a) {
    return map([&](int i) { return std::exp(a.v[i]); });
  }
  // As many rows as a row is wide become columns.
  static QUIRE_INLINE void transpose(F (&rows)[kWidth]) {
    for (int i = 0; i < kWidth; ++i) {
      for (int j = 0; j < i; ++j) std::swap(rows[i].v[j], rows[j].v[i]);
    }
  }
  static QUIRE_INLINE float sum(F a) {
    float r = 0.0f;
    for (float x : a.v) r += x;
    return r;
  }
  static QUIRE_INLINE float max_of(F a) {
    float r = a.v[0];
    for (float x : a.v) r = x > r ? x : r;
    return r;
  }
};

// f(begin, n) over [0, size) in vectors: n is kWidth, but for the last piece, which may be shorter.
template <Isa I, class Body>
QUIRE_INLINE void for_vectors(int64_t size, Body&& body) {
  constexpr int kWidth = Simd<I>::kWidth;
  int64_t i = 0;
  for (; i + kWidth <= size; i += kWidth) body(i, std::integral_constant<int, kWidth>{});
  if (i < size) body(i, static_cast<int>(size - i));
}

// Loads and stores for the two kinds of n that for_vectors hands out.
template <Isa I, class T>
QUIRE_INLINE auto load_n(const T* p, std::integral_constant<int, Simd<I>::kWidth>) {
  return Simd<I>::load(p);
}
template <Isa I, class T>
QUIRE_INLINE auto load_n(const T* p, int n) {
  return Simd<I>::load_first(p, n);
}
template <Isa I, class T>
QUIRE_INLINE void store_n(T* p, typename Simd<I>::F a, std::integral_constant<int, Simd<I>::kWidth>) {
  Simd<I>::store(p, a);
}
template <Isa I, class T>
QUIRE_INLINE void store_n(T* p, typename Simd<I>::F a, int n) {
  Simd<I>::store_first(p, a, n);
}

// f(std::integral_constant<Isa, I>) for the family in use. Call it in units compiled for the base instruction set.
template <class F>
void with_isa(F&& f) {
#if defined(__x86_64__)
  switch (isa()) {
    case Isa::kAvx512:
      return f(std::integral_constant<Isa, Isa::kAvx512>{});
    case Isa::kAvx2:
      return f(std::integral_constant<Isa, Isa::kAvx2>{});
    case Isa::kPortable:
      break;
  }
#endif
  f(std::integral_constant<Isa, Isa::kPortable>{});
}

}  // namespace quire
