// The number formats of activations, weights and KV, and their scalar conversions.
//
// Conversions are forced inline: the same header is compiled for several instruction sets, and no out-of-line copy
// may be shared between them.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#define QUIRE_INLINE inline __attribute__((always_inline))

namespace quire {

enum class DType : int { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2 };

struct BFloat16 {
  uint16_t bits;
};

struct Half {
  uint16_t bits;
};

QUIRE_INLINE size_t size_of(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

QUIRE_INLINE float to_float(float x) { return x; }

QUIRE_INLINE float to_float(int8_t x) { return static_cast<float>(x); }

QUIRE_INLINE float to_float(BFloat16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

QUIRE_INLINE float to_float(Half x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16;
  const uint32_t rest = x.bits & 0x7fff;
  if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | ((rest & 0x3ff) << 13));
  // The product with 2^112 moves the exponent's bias and makes subnormal halves normal floats.
  const float magnitude = std::bit_cast<float>(rest << 13) * std::bit_cast<float>(uint32_t{(127 + 112) << 23});
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// Round to nearest, ties to even, as the vector instructions do.
template <class T>
T from_float(float x);

template <>
QUIRE_INLINE float from_float<float>(float x) {
  return x;
}

template <>
QUIRE_INLINE BFloat16 from_float<BFloat16>(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

template <>
QUIRE_INLINE Half from_float<Half>(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (rest >= 0x47800000) return {static_cast<uint16_t>(sign | 0x7c00)};
  if (rest < 0x38800000) {
    // Below the smallest normal half: adding 0.5 puts the rounded subnormal into the low bits of the sum.
    const float shifted = std::bit_cast<float>(rest) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000))};
  }
  const uint32_t rounded = rest + 0xfff + ((rest >> 13) & 1);
  return {static_cast<uint16_t>(sign | ((rounded - 0x38000000) >> 13))};
}

// f(T{}) with T the C++ type of `dtype`.
template <class F>
QUIRE_INLINE void with_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float{});
    case DType::kBFloat16:
      return f(BFloat16{});
    case DType::kFloat16:
      return f(Half{});
  }
}

}  // namespace quire
