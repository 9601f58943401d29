// nonlinearity.h over one instruction set.

#pragma once

#include "kernels/encoder/nonlinearity.h"
#include "kernels/simd/simd.h"

namespace quire {

// x · Φ(x), with Φ the normal distribution: the error function by Abramowitz and Stegun 7.1.26, whose absolute error is
// below 1.5e-7. What |x| loses to the tail beyond it is taken off max(x, 0), so that nothing cancels far below 0.
template <Isa I>
QUIRE_INLINE auto gelu(typename Simd<I>::F x) {
  using V = Simd<I>;
  const auto zero = V::zero(), one = V::set(1.0f);
  const auto size = V::max(x, V::sub(zero, x)), z = V::mul(size, V::set(0.70710678f));
  const auto t = V::div(one, V::fma(z, V::set(0.3275911f), one));
  auto p = V::set(0.5f * 1.061405429f);
  p = V::fma(p, t, V::set(0.5f * -1.453152027f));
  p = V::fma(p, t, V::set(0.5f * 1.421413741f));
  p = V::fma(p, t, V::set(0.5f * -0.284496736f));
  p = V::fma(p, t, V::set(0.5f * 0.254829592f));
  // Below exp(-80) there is nothing to tell, and numbers too small to be normal are slow.
  const auto tail = V::mul(V::mul(p, t), V::exp(V::max(V::mul(V::sub(zero, z), z), V::set(-80.0f))));
  return V::sub(V::max(x, zero), V::mul(size, tail));
}

// The same with Φ approximated by a tanh, written as x / (1 + exp(-2y)).
template <Isa I>
QUIRE_INLINE auto gelu_tanh(typename Simd<I>::F x) {
  using V = Simd<I>;
  const auto cube = V::mul(V::mul(x, x), x);
  const auto inner = V::mul(V::fma(cube, V::set(0.044715f), x), V::set(-2.0f * 0.79788456f));
  return V::div(x, V::add(V::set(1.0f), V::exp(inner)));
}

template <Isa I, Nonlinearity kKind>
QUIRE_INLINE auto nonlinear(typename Simd<I>::F x) {
  using V = Simd<I>;
  if constexpr (kKind == Nonlinearity::kGelu) return gelu<I>(x);
  if constexpr (kKind == Nonlinearity::kGeluTanh) return gelu_tanh<I>(x);
  if constexpr (kKind == Nonlinearity::kRelu) return V::max(x, V::zero());
  return x;
}

// f(std::integral_constant<Nonlinearity, kind>).
template <class F>
QUIRE_INLINE void with_nonlinearity(Nonlinearity kind, F&& f) {
  switch (kind) {
    case Nonlinearity::kNone:
      return f(std::integral_constant<Nonlinearity, Nonlinearity::kNone>{});
    case Nonlinearity::kGelu:
      return f(std::integral_constant<Nonlinearity, Nonlinearity::kGelu>{});
    case Nonlinearity::kGeluTanh:
      return f(std::integral_constant<Nonlinearity, Nonlinearity::kGeluTanh>{});
    case Nonlinearity::kRelu:
      return f(std::integral_constant<Nonlinearity, Nonlinearity::kRelu>{});
  }
}

template <Isa I>
void apply_nonlinearity_range(const ApplyNonlinearity& args, int64_t begin, int64_t end) {
  with_dtype(args.dtype, [&]<class T>(T) {
    T* x = static_cast<T*>(args.x) + begin;
    with_nonlinearity(args.kind, [&](auto kind) {
      for_vectors<I>(end - begin,
                     [&](int64_t i, auto n) { store_n<I>(x + i, nonlinear<I, kind()>(load_n<I>(x + i, n)), n); });
    });
  });
}

}  // namespace quire
