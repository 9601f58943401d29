// The AVX512 intrinsics that the kernels use, each as a plain loop over its lanes, so that the kernels written for
// AVX512 can be tested on a machine without it (`cmake -DQUIRE_EMULATE_AVX512=ON`, `make test-avx512`).
//
// Forced in before every *_avx512.cpp of such a build, which is then compiled without AVX512. An intrinsic that is not
// here does not compile, so none is tested by accident with the machine's own. Names end where Intel's do; what each
// does is Intel's description of it, and nothing here is meant to be fast.

#pragma once

#include <immintrin.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace avx512 {

// A vector seen as numbers of one type.
template <class T, class Vector>
struct Lanes {
  static constexpr int kCount = sizeof(Vector) / sizeof(T);
  T lane[kCount];
  explicit Lanes(const Vector& v) { std::memcpy(lane, &v, sizeof v); }
  operator Vector() const {
    Vector v;
    std::memcpy(&v, lane, sizeof v);
    return v;
  }
};

// The vector whose lane i is make(i).
template <class Vector, class T, class Make>
Vector build(const Make& make) {
  Lanes<T, Vector> out{Vector{}};
  for (int i = 0; i < out.kCount; ++i) out.lane[i] = make(i);
  return out;
}

template <class T, class Vector>
Lanes<T, Vector> lanes(const Vector& v) {
  return Lanes<T, Vector>(v);
}

template <class Vector, class T>
Vector load(const void* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Lanes whose bit is 0 are neither read nor written.
template <class Vector, class T>
Vector load(uint64_t mask, const void* p) {
  return build<Vector, T>([&](int i) {
    T x{};
    if (mask >> i & 1) std::memcpy(&x, static_cast<const char*>(p) + i * sizeof(T), sizeof(T));
    return x;
  });
}

template <class T, class Vector>
void store(void* p, uint64_t mask, const Vector& v) {
  const auto x = lanes<T>(v);
  for (int i = 0; i < x.kCount; ++i) {
    if (mask >> i & 1) std::memcpy(static_cast<char*>(p) + i * sizeof(T), &x.lane[i], sizeof(T));
  }
}

template <class Vector>
void store(void* p, const Vector& v) {
  std::memcpy(p, &v, sizeof v);
}

// f on the lanes of one, two or three vectors of floats.
template <class F, class... Vector>
__m512 each(const F& f, const Vector&... v) {
  return build<__m512, float>([&](int i) { return f(lanes<float>(v).lane[i]...); });
}

template <class T, class From, class Vector>
__m512i convert(const Vector& v) {
  const auto x = lanes<From>(v);
  return build<__m512i, T>([&](int i) { return static_cast<T>(x.lane[i]); });
}

template <class From>
__m512 to_float(const __m512i& v) {
  const auto x = lanes<From>(v);
  return build<__m512, float>([&](int i) { return static_cast<float>(x.lane[i]); });
}

inline float of_bf16(uint16_t x) { return std::bit_cast<float>(static_cast<uint32_t>(x) << 16); }

// To nearest, ties to even; subnormal numbers become zero.
inline uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  if (!std::isnormal(x) && !std::isinf(x)) return static_cast<uint16_t>(bits >> 16 & 0x8000);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

inline __m512i narrow_bf16(const __m512& high, const __m512& low) {
  const auto h = lanes<float>(high), l = lanes<float>(low);
  return build<__m512i, uint16_t>([&](int i) { return to_bf16(i < 16 ? l.lane[i] : h.lane[i - 16]); });
}

inline __m512 dot_bf16(const __m512& sum, const __m512i& a, const __m512i& b) {
  const auto s = lanes<float>(sum);
  const auto x = lanes<uint16_t>(a), y = lanes<uint16_t>(b);
  return build<__m512, float>([&](int i) {
    const float odd = of_bf16(x.lane[2 * i + 1]) * of_bf16(y.lane[2 * i + 1]);
    return s.lane[i] + std::fma(of_bf16(x.lane[2 * i]), of_bf16(y.lane[2 * i]), odd);
  });
}

// Bytes of a are unsigned, of b signed.
inline __m512i dot_bytes(const __m512i& sum, const __m512i& a, const __m512i& b) {
  const auto s = lanes<uint32_t>(sum);
  const auto x = lanes<uint8_t>(a);
  const auto y = lanes<int8_t>(b);
  return build<__m512i, uint32_t>([&](int i) {
    uint32_t total = s.lane[i];
    for (int k = 4 * i; k < 4 * i + 4; ++k) total += static_cast<uint32_t>(x.lane[k] * y.lane[k]);
    return total;
  });
}

// Four-lane groups: two chosen of a, then two of b.
template <class Vector>
Vector shuffle_quarters(const Vector& a, const Vector& b, int order) {
  const auto x = lanes<uint32_t>(a), y = lanes<uint32_t>(b);
  return build<Vector, uint32_t>([&](int i) {
    const int from = order >> i / 4 * 2 & 3;
    return (i < 8 ? x : y).lane[from * 4 + i % 4];
  });
}

// Within each 128 bits: lanes of the lower (or upper) half of a and b in turns.
template <class T, class Vector>
Vector unpack(const Vector& a, const Vector& b, bool upper) {
  constexpr int kGroup = 16 / sizeof(T);
  const auto x = lanes<T>(a), y = lanes<T>(b);
  return build<Vector, T>([&](int i) {
    const int from = i / kGroup * kGroup + i % kGroup / 2 + upper * kGroup / 2;
    return (i % 2 ? y : x).lane[from];
  });
}

inline __m512i choose_words(const __m512i& a, const __m512i& numbers, const __m512i& b) {
  const auto x = lanes<uint16_t>(a), n = lanes<uint16_t>(numbers), y = lanes<uint16_t>(b);
  return build<__m512i, uint16_t>([&](int i) { return (n.lane[i] & 32 ? y : x).lane[n.lane[i] & 31]; });
}

template <class Vector>
Vector compress(uint32_t mask, const Vector& v) {
  const auto x = lanes<uint32_t>(v);
  Lanes<uint32_t, Vector> out{Vector{}};
  for (int i = 0, n = 0; i < 16; ++i) {
    if (mask >> i & 1) out.lane[n++] = x.lane[i];
  }
  return out;
}

inline __mmask16 greater(__mmask16 mask, const __m512& a, const __m512& b) {
  const auto x = lanes<float>(a), y = lanes<float>(b);
  __mmask16 out = 0;
  for (int i = 0; i < 16; ++i) out |= static_cast<__mmask16>((x.lane[i] > y.lane[i]) << i);
  return out & mask;
}

inline __m512i gather(const __m512i& numbers, const void* from, int scale) {
  const auto n = lanes<int32_t>(numbers);
  return build<__m512i, int32_t>([&](int i) {
    int32_t x;
    std::memcpy(&x, static_cast<const char*>(from) + static_cast<int64_t>(n.lane[i]) * scale, sizeof x);
    return x;
  });
}

inline __m128i saturate_bytes(const __m512i& v) {
  const auto x = lanes<int32_t>(v);
  return build<__m128i, int8_t>([&](int i) {
    return static_cast<int8_t>(x.lane[i] < -128 ? -128 : x.lane[i] > 127 ? 127 : x.lane[i]);
  });
}

inline __m512i round_to_int(const __m512& v) {
  const auto x = lanes<float>(v);
  return build<__m512i, int32_t>([&](int i) { return static_cast<int32_t>(std::nearbyint(x.lane[i])); });
}

inline __m512 of_half(const __m256i& v) {
  const auto x = lanes<uint16_t>(v);
  return build<__m512, float>([&](int i) { return _cvtsh_ss(x.lane[i]); });
}

inline __m256i to_half(const __m512& v) {
  const auto x = lanes<float>(v);
  return build<__m256i, uint16_t>([&](int i) { return _cvtss_sh(x.lane[i], _MM_FROUND_TO_NEAREST_INT); });
}

inline float sum(const __m512& v) {
  float total = 0;
  for (float x : lanes<float>(v).lane) total += x;
  return total;
}

inline int32_t sum(const __m512i& v) {
  uint32_t total = 0;
  for (uint32_t x : lanes<uint32_t>(v).lane) total += x;
  return static_cast<int32_t>(total);
}

inline float max_of(const __m512& v) {
  const auto x = lanes<float>(v);
  float best = x.lane[0];
  for (float y : x.lane) best = y > best ? y : best;
  return best;
}

template <class Vector, class T>
Vector fill(T x) {
  return build<Vector, T>([&](int) { return x; });
}

}  // namespace avx512

// clang-format off
#define _mm512_setzero_ps() (avx512::fill<__m512>(0.0f))
#define _mm512_setzero_si512() (avx512::fill<__m512i>(0))
#define _mm512_set1_ps(x) (avx512::fill<__m512, float>(x))
#define _mm512_set1_epi8(x) (avx512::fill<__m512i, int8_t>(x))
#define _mm512_set1_epi16(x) (avx512::fill<__m512i, int16_t>(x))
#define _mm512_set1_epi32(x) (avx512::fill<__m512i, int32_t>(x))

#define _mm512_loadu_ps(p) (avx512::load<__m512, float>(p))
#define _mm512_loadu_si512(p) (avx512::load<__m512i, int32_t>(p))
#define _mm512_load_si512(p) (avx512::load<__m512i, int32_t>(p))
#define _mm512_maskz_loadu_ps(m, p) (avx512::load<__m512, float>(m, p))
#define _mm512_maskz_loadu_epi16(m, p) (avx512::load<__m512i, int16_t>(m, p))
#define _mm512_maskz_loadu_epi32(m, p) (avx512::load<__m512i, int32_t>(m, p))
#define _mm256_maskz_loadu_epi8(m, p) (avx512::load<__m256i, int8_t>(m, p))
#define _mm256_maskz_loadu_epi16(m, p) (avx512::load<__m256i, int16_t>(m, p))
#define _mm_maskz_loadu_epi8(m, p) (avx512::load<__m128i, int8_t>(m, p))
#define _mm512_storeu_ps(p, v) avx512::store(p, v)
#define _mm512_store_ps(p, v) avx512::store(p, v)
#define _mm512_storeu_si512(p, v) avx512::store(p, v)
#define _mm512_mask_storeu_ps(p, m, v) avx512::store<float>(p, m, v)
#define _mm512_mask_storeu_epi32(p, m, v) avx512::store<int32_t>(p, m, v)
#define _mm256_mask_storeu_epi16(p, m, v) avx512::store<int16_t>(p, m, v)
#define _mm_mask_storeu_epi8(p, m, v) avx512::store<int8_t>(p, m, v)

#define _mm512_add_ps(a, b) (avx512::each([](float x, float y) { return x + y; }, a, b))
#define _mm512_sub_ps(a, b) (avx512::each([](float x, float y) { return x - y; }, a, b))
#define _mm512_mul_ps(a, b) (avx512::each([](float x, float y) { return x * y; }, a, b))
#define _mm512_div_ps(a, b) (avx512::each([](float x, float y) { return x / y; }, a, b))
#define _mm512_max_ps(a, b) (avx512::each([](float x, float y) { return x > y ? x : y; }, a, b))
#define _mm512_min_ps(a, b) (avx512::each([](float x, float y) { return x < y ? x : y; }, a, b))
#define _mm512_fmadd_ps(a, b, c) (avx512::each([](float x, float y, float z) { return std::fma(x, y, z); }, a, b, c))
#define _mm512_fnmadd_ps(a, b, c) (avx512::each([](float x, float y, float z) { return std::fma(-x, y, z); }, a, b, c))
#define _mm512_scalef_ps(a, b) (avx512::each([](float x, float y) { return std::ldexp(x, static_cast<int>(std::floor(y))); }, a, b))
#define _mm512_roundscale_ps(a, how) (avx512::each([](float x) { return std::nearbyint(x); }, a))
#define _mm512_reduce_add_ps(v) (avx512::sum(v))
#define _mm512_reduce_add_epi32(v) (avx512::sum(v))
#define _mm512_reduce_max_ps(v) (avx512::max_of(v))
#define _mm512_mask_cmp_ps_mask(m, a, b, how) (avx512::greater(m, a, b))

#define _mm512_and_si512(a, b) ((a) & (b))
#define _mm512_xor_si512(a, b) ((a) ^ (b))
#define _mm512_add_epi16(a, b) ((__m512i)((__v32hu)(a) + (__v32hu)(b)))
#define _mm512_slli_epi32(a, n) ((__m512i)((__v16su)(a) << (n)))
#define _mm512_srli_epi32(a, n) ((__m512i)((__v16su)(a) >> (n)))
#define _mm512_dpbusd_epi32(sum, a, b) (avx512::dot_bytes(sum, a, b))
#define _mm512_dpbf16_ps(sum, a, b) (avx512::dot_bf16(sum, (__m512i)(a), (__m512i)(b)))

#define _mm512_castps_pd(v) ((__m512d)(v))
#define _mm512_castpd_ps(v) ((__m512)(v))
#define _mm512_castsi512_ps(v) ((__m512)(v))
#define _mm512_castps_si512(v) ((__m512i)(v))
#define _mm512_castsi512_si256(v) (avx512::load<__m256i, int32_t>(&static_cast<const __m512i&>(v)))
#define _mm512_castps512_ps256(v) (avx512::load<__m256, float>(&static_cast<const __m512&>(v)))
#define _mm512_extracti64x4_epi64(v, half) (avx512::load<__m256i, int32_t>(reinterpret_cast<const char*>(&static_cast<const __m512i&>(v)) + 32 * (half)))
#define _mm512_cvtepi32_ps(v) (avx512::to_float<int32_t>(v))
#define _mm512_cvtepu32_ps(v) (avx512::to_float<uint32_t>(v))
#define _mm512_cvtepi8_epi16(v) (avx512::convert<int16_t, int8_t>(v))
#define _mm512_cvtepi8_epi32(v) (avx512::convert<int32_t, int8_t>(v))
#define _mm512_cvtepi16_epi32(v) (avx512::convert<int32_t, int16_t>(v))
#define _mm512_cvtepu16_epi32(v) (avx512::convert<int32_t, uint16_t>(v))
#define _mm512_cvtsepi32_epi8(v) (avx512::saturate_bytes(v))
#define _mm512_cvtps_epi32(v) (avx512::round_to_int(v))
#define _mm512_cvtph_ps(v) (avx512::of_half(v))
#define _mm512_cvtps_ph(v, how) (avx512::to_half(v))
#define _mm512_cvtneps_pbh(v) (_mm512_castsi512_si256(avx512::narrow_bf16(v, v)))
#define _mm512_cvtne2ps_pbh(high, low) (avx512::narrow_bf16(high, low))

#define _mm512_shuffle_f32x4(a, b, order) (avx512::shuffle_quarters(a, b, order))
#define _mm512_shuffle_i32x4(a, b, order) (avx512::shuffle_quarters(a, b, order))
#define _mm512_unpacklo_ps(a, b) (avx512::unpack<uint32_t>(a, b, false))
#define _mm512_unpackhi_ps(a, b) (avx512::unpack<uint32_t>(a, b, true))
#define _mm512_unpacklo_epi32(a, b) (avx512::unpack<uint32_t>(a, b, false))
#define _mm512_unpackhi_epi32(a, b) (avx512::unpack<uint32_t>(a, b, true))
#define _mm512_unpacklo_pd(a, b) (avx512::unpack<uint64_t>(a, b, false))
#define _mm512_unpackhi_pd(a, b) (avx512::unpack<uint64_t>(a, b, true))
#define _mm512_unpacklo_epi64(a, b) (avx512::unpack<uint64_t>(a, b, false))
#define _mm512_unpackhi_epi64(a, b) (avx512::unpack<uint64_t>(a, b, true))
#define _mm512_permutex2var_epi16(a, numbers, b) (avx512::choose_words(a, numbers, b))
#define _mm512_maskz_compress_ps(m, v) (avx512::compress(m, v))
#define _mm512_maskz_compress_epi32(m, v) (avx512::compress(m, v))
#define _mm512_i32gather_epi32(numbers, from, scale) (avx512::gather(numbers, from, scale))
// clang-format on
