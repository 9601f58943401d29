// What this processor can do, asked once. Kernels built for an instruction set are entered only when it is here.
//
// QUIRE_CPU=portable|avx2|avx512 lowers the choice (tests use it to run every path the machine can run).

#pragma once

#include <cstdlib>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace quire {

enum class Isa { kPortable = 0, kAvx2 = 1, kAvx512 = 2 };

struct CpuFeatures {
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512 = false;  // F, BW, VL and DQ
  bool avx512_bf16 = false;
  bool avx512_vnni = false;
  bool sha_ni = false;
};

#if defined(__x86_64__)
// Not every compiler that builds this knows the feature by name.
inline bool detect_sha_ni() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx >> 29 & 1);
}
#endif

inline CpuFeatures detect_cpu_features() {
  CpuFeatures f;
#if defined(__x86_64__)
  __builtin_cpu_init();
  f.avx2 = __builtin_cpu_supports("avx2");
  f.fma = __builtin_cpu_supports("fma");
  f.f16c = __builtin_cpu_supports("f16c");
  f.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  f.avx512_bf16 = __builtin_cpu_supports("avx512bf16");
  f.avx512_vnni = __builtin_cpu_supports("avx512vnni");
  f.sha_ni = detect_sha_ni();
#ifdef QUIRE_EMULATE_AVX512  // a build for tests, in which plain code stands for those instructions
  f.avx512 = f.avx512_bf16 = f.avx512_vnni = true;
#endif
#endif
  return f;
}

inline const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect_cpu_features();
  return features;
}

inline Isa detect_isa() {
  const CpuFeatures& f = cpu_features();
  Isa best = Isa::kPortable;
  if (f.avx2 && f.fma && f.f16c) best = Isa::kAvx2;
  if (best == Isa::kAvx2 && f.avx512 && f.avx512_bf16 && f.avx512_vnni) best = Isa::kAvx512;
  if (const char* wish = std::getenv("QUIRE_CPU")) {
    const std::string_view name(wish);
    const Isa asked = name == "portable" ? Isa::kPortable : name == "avx2" ? Isa::kAvx2 : Isa::kAvx512;
    if (asked < best) best = asked;
  }
  return best;
}

inline Isa& chosen_isa() {
  static Isa chosen = detect_isa();
  return chosen;
}

// The family of kernels in use: the widest that this machine runs, unless lowered.
inline Isa isa() { return chosen_isa(); }

// Lowers the choice in a running process, so that tests can walk every path. Not while kernels run.
// Returns false, and changes nothing, where this machine lacks `wanted`.
inline bool set_isa(Isa wanted) {
  if (wanted > detect_isa()) return false;
  chosen_isa() = wanted;
  return true;
}

inline const char* isa_name(Isa isa) {
  return isa == Isa::kAvx512 ? "avx512" : isa == Isa::kAvx2 ? "avx2" : "portable";
}

}  // namespace quire
