// x · weightᵀ with 4-bit weights, one scale per output and group of inputs, and activations quantised per row (W4A8).
//
// weight = (nibble - 8) · scale, as in GGUF's Q4_0. One stream for every batch size: panels of 64 outputs, each a run
// of groups, and a group holds its own scales:
//
//     group: [group / 8][64 outputs][4 bytes], then float16 scales [64 outputs]
//
// Byte b of unit u holds input 8·u + b in its low nibble and input 8·u + 4 + b in its high one: the two halves of a
// byte vector are two steps of the panel product.

#pragma once

#include <cstdint>

#include "cpu_features.h"
#include "kernels/linear/quantized_rows.h"
#include "kernels/simd/dtype.h"

namespace quire {

struct PackInt4 {
  const void* weight;  // [outputs, inputs], contiguous
  int64_t outputs;
  int64_t inputs;  // a multiple of group
  int64_t group;   // a multiple of 8
  std::byte* data;
  DType dtype;
};

void pack_int4(const PackInt4& args);

struct LinearInt4 {
  const void* x;  // [rows, inputs], contiguous
  const std::byte* data;
  const void* bias;  // [outputs] or null
  void* out;         // [rows, outputs], contiguous
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
  int64_t group;
  DType dtype;
};

void linear_int4(const LinearInt4& args);

// Bytes of one group of a panel.
inline int64_t int4_group_bytes(int64_t group) { return 64 * (group / 2 + 2); }

template <Isa I>
void pack_int4_panel(const PackInt4& args, int64_t panel);

template <Isa I>
void linear_int4_panels(const LinearInt4& args, const QuantizedRows& rows, int64_t begin, int64_t end);

}  // namespace quire
