// Weights as GGUF files hold them, in blocks of 32 numbers of a row that share a scale, on their way into packed form.
//
//     Q8_0: float16 scale, 32 int8     number = q · scale
//     Q4_0: float16 scale, 16 bytes    number = (nibble - 8) · scale, byte i holding the numbers i and i + 16
//
// Q4_0 is what linear_int4.h computes with: packing it loses nothing.

#pragma once

#include <cstddef>
#include <cstdint>

namespace quire {

constexpr int64_t kGgufBlock = 32;

struct DequantizeQ8_0 {
  const std::byte* blocks;  // [count], anywhere
  int64_t count;
  float* out;  // [count * 32]
};

void dequantize_q8_0(const DequantizeQ8_0& args);

struct PackQ4_0 {
  const std::byte* blocks;  // [outputs, inputs / 32], anywhere
  int64_t outputs;
  int64_t inputs;   // a multiple of 32
  std::byte* data;  // panels of linear_int4.h in groups of 32
};

void pack_q4_0(const PackQ4_0& args);

}  // namespace quire
